//! The types of pipelines, each by itself: what they accept, refuse, and are written as.

mod component {
    use mlops_core::hash::Digest;
    use mlops_core::id::{ComponentName, ComponentVersion, PortName};
    use mlops_core::pipeline::{Component, ParamSpec, PortType};

    fn component() -> Component {
        let name = ComponentName::new("train").unwrap();
        Component::new(name, ComponentVersion::new("1").unwrap(), Digest::of(b"code"))
    }

    #[test]
    fn a_name_is_an_input_or_a_parameter_but_not_both() {
        let port = PortName::new("rows").unwrap();
        let both = component()
            .with_input(port.clone(), PortType::UriFile)
            .with_parameter(port.clone(), ParamSpec::boolean());
        assert_eq!(both.check().unwrap_err().context("field"), Some("rows"));
        // An output may be called like an input: what goes in comes out changed.
        let same =
            component().with_input(port.clone(), PortType::UriFile).with_output(port, PortType::UriFile);
        same.check().unwrap();
        let text = serde_json::to_string(&same).unwrap();
        assert_eq!(serde_json::from_str::<Component>(&text).unwrap(), same);
        assert!(serde_json::from_str::<Component>(&serde_json::to_string(&both).unwrap()).is_err());
    }

    #[test]
    fn too_many_ports_are_refused() {
        let mut wide = component();
        for i in 0..=1_000 {
            wide = wide.with_output(PortName::new(format!("p{i}")).unwrap(), PortType::UriFile);
        }
        assert_eq!(wide.check().unwrap_err().kind(), mlops_core::ErrorKind::LimitExceeded);
    }
}

mod compute {
    use std::time::Duration;

    use mlops_core::hash::Digest;
    use mlops_core::id::{ComponentName, ComponentVersion, PortName, StepName};
    use mlops_core::pipeline::compute::ComputePlan;
    use mlops_core::pipeline::{
        Component, Components, Pipeline, PipelineFormat, PipelineSpec, StepRetry, StepSpec,
    };

    /// Which field of a step is wrong for a plan with `spot`, which may be taken away, and `cpu`, which stays.
    fn fault(
        class: &str,
        keeps_checkpoints: bool,
        change: impl FnOnce(StepSpec) -> StepSpec,
    ) -> Option<String> {
        let text = "[spot.cluster]\nsize = \"a\"\nmax_nodes = 1\ntier = \"low_priority\"\n[cpu.cluster]\nsize = \"a\"\nmax_nodes = 1";
        let plan = ComputePlan::parse(text, PipelineFormat::Toml).unwrap();
        let (name, version) = (ComponentName::new("fit").unwrap(), ComponentVersion::new("1").unwrap());
        let fit = Component::new(name, version, Digest::of(b"")).with_keeps_checkpoints(keeps_checkpoints);
        let step = StepSpec::new(StepName::new("fit").unwrap(), fit.reference());
        let step = change(step.with_resource(PortName::new(class).unwrap()));
        let spec = PipelineSpec::new(ComponentName::new("p").unwrap()).with_step(step);
        let pipeline = Pipeline::new(spec, &Components::new().with_described(fit).unwrap()).unwrap();
        let error = plan.check(&pipeline).err()?;
        assert_eq!((error.context("step"), error.context("class")), (Some("fit"), Some(class)), "{error}");
        error.context("field").map(str::to_owned)
    }

    #[test]
    fn what_may_be_taken_away_wants_a_checkpoint_or_a_short_step() {
        let minutes =
            |minutes: u64| move |step: StepSpec| step.with_timeout(Duration::from_secs(60 * minutes));
        assert_eq!(fault("spot", false, |step| step).as_deref(), Some("timeout"));
        assert_eq!(fault("spot", false, minutes(11)).as_deref(), Some("timeout"));
        assert_eq!(fault("spot", false, minutes(10)), None);
        assert_eq!(fault("spot", true, |step| step), None);
        assert_eq!(fault("spot", true, minutes(600)), None);
        let once = |step: StepSpec| step.with_retry(StepRetry::default().with_preemptions(0));
        assert_eq!(fault("spot", true, once).as_deref(), Some("retry"));
        assert_eq!(fault("cpu", false, once), None);
        assert_eq!(fault("gpu", true, |step| step).as_deref(), Some("resource"));
    }

    /// Outputs do not depend on it, so that what was made before stays of use; and it is written only where it is said.
    #[test]
    fn keeping_checkpoints_changes_no_file_that_does_not_say_so() {
        let (name, version) = (ComponentName::new("fit").unwrap(), ComponentVersion::new("1").unwrap());
        let plain = Component::new(name, version, Digest::of(b""));
        let text = serde_json::to_string(&plain).unwrap();
        assert!(!text.contains("checkpoints"));
        assert_eq!(serde_json::from_str::<Component>(&text).unwrap(), plain);
        let keeps = plain.with_keeps_checkpoints(true);
        let text = serde_json::to_string(&keeps).unwrap();
        assert_eq!(serde_json::from_str::<Component>(&text).unwrap(), keeps);
    }

    #[test]
    fn a_bad_machine_is_refused_with_its_place() {
        for (text, line, field, words) in [
            ("[cpu.cluster]\nsize = \"a\"\nmax_nodes = 0", "3", "cpu.cluster.max_nodes", "from 1 to 65000"),
            (
                "[cpu.cluster]\nsize = \"a\"\nmin_nodes = 3\nmax_nodes = 2",
                "3",
                "cpu.cluster.min_nodes",
                "at most max_nodes",
            ),
            ("[cpu.cluster]\nsize = \"a b\"\nmax_nodes = 2", "2", "cpu.cluster.size", "without spaces"),
            (
                "[cpu.cluster]\nsize = \"a\"\nmax_nodes = 2\ntier = \"spot\"",
                "4",
                "cpu.cluster.tier",
                "unknown value",
            ),
            (
                "[cpu.cluster]\nsize = \"a\"\nmax_nodes = 2\nidle_before_scale_down = \"0s\"",
                "4",
                "cpu.cluster.idle_before_scale_down",
                "nothing",
            ),
            (
                "[me.instance]\nsize = \"a\"\nidle_shutdown = \"1m\"",
                "3",
                "me.instance.idle_shutdown",
                "from 15m",
            ),
            (
                "[me.instance]\nsize = \"a\"\nstop_cron = \"0 18 * *\"",
                "3",
                "me.instance.stop_cron",
                "5 fields",
            ),
            ("[me]", "1", "me", "must be one of"),
            ("[Me.serverless]", "1", "file", "has `M` at position 0"),
        ] {
            let error = ComputePlan::parse(text, PipelineFormat::Toml).unwrap_err();
            assert_eq!(error.context("line"), Some(line), "{text}: {error}");
            assert!(error.to_string().contains(words), "{text}: {error}");
            if field != "file" {
                assert_eq!(error.context("field"), Some(field), "{text}: {error}");
            }
        }
    }
}

mod param {
    use mlops_core::pipeline::{ParamFault, ParamSpec, ParamValue};

    #[test]
    fn bounds_are_inclusive_and_types_are_kept_apart() {
        let depth = ParamSpec::integer(Some(1), Some(3));
        for (value, ok) in [
            (ParamValue::Integer(1), true),
            (ParamValue::Integer(3), true),
            (ParamValue::Integer(0), false),
            (ParamValue::Integer(4), false),
            (ParamValue::Number(2.0), false),
            (ParamValue::Boolean(true), false),
            (ParamValue::Text("2".into()), false),
        ] {
            assert_eq!(depth.accept(&value).is_ok(), ok, "{value}");
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(ParamSpec::number(None, None).accept(&value.into()), Err(ParamFault::NotFinite));
        }
        let big = ParamValue::Integer((1 << 53) + 1);
        assert_eq!(ParamSpec::number(None, None).accept(&big), Err(ParamFault::Inexact));
    }

    #[test]
    fn a_spec_is_written_and_read_back_and_bad_ones_are_refused() {
        for spec in [
            ParamSpec::integer(Some(i64::MIN), Some(i64::MAX)).with_default(7_i64),
            ParamSpec::number(Some(-0.5), None).with_optional(),
            ParamSpec::boolean().with_default(false),
            ParamSpec::one_of(["gini", "entropy"]).with_default("gini"),
            ParamSpec::text(),
        ] {
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<ParamSpec>(&text).unwrap(), spec, "{text}");
        }
        for bad in [
            r#"{"type":"integer","min":3,"max":1}"#,
            r#"{"type":"integer","min":0.5}"#,
            r#"{"type":"boolean","min":1}"#,
            r#"{"type":"number","enum":["a"]}"#,
            r#"{"type":"number","max":1,"default":2}"#,
            r#"{"type":"string","enum":["a"],"default":"b"}"#,
            r#"{"type":"string","nullable":true}"#,
        ] {
            assert!(serde_json::from_str::<ParamSpec>(bad).is_err(), "{bad}");
        }
    }
}

mod port {
    use mlops_core::pipeline::PortType;

    #[test]
    fn a_type_is_written_as_its_word() {
        for kind in PortType::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
    }
}

mod state {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use mlops_core::ErrorKind;
    use mlops_core::artifact::Blob;
    use mlops_core::hash::Digest;
    use mlops_core::id::{ComponentName, StepName};
    use mlops_core::pipeline::{
        ErrorClass, PipelineEntry, PipelineEvent, PipelineState, PipelineStatus, PlannedStep, RunPlan,
        RunReason, SkipReason, StepKey, StepState,
    };
    use mlops_core::time::Timestamp;
    use proptest::prelude::*;

    fn name(step: &str) -> StepName {
        StepName::new(step).unwrap()
    }

    /// `a` and `b`, then `c` behind both.
    fn begun() -> PipelineState {
        let step =
            |of: &str, before: &[&str]| PlannedStep::new(name(of), before.iter().map(|step| name(step)));
        let steps = vec![step("a", &[]), step("b", &[]), step("c", &["a", "b"])];
        PipelineState::begin(RunPlan::new(ComponentName::new("p").unwrap(), Digest::of(b"p"), steps)).unwrap()
    }

    fn start(step: &str, attempt: u32) -> PipelineEvent {
        PipelineEvent::Started { step: name(step), attempt, reason: RunReason::NeverRan }
    }

    fn success(step: &str, attempt: u32) -> PipelineEvent {
        let key = StepKey::new(Digest::of(step.as_bytes()));
        let (outputs, took) = (BTreeMap::new(), Duration::ZERO);
        PipelineEvent::Succeeded { step: name(step), attempt, key, outputs, took }
    }

    #[test]
    fn a_step_is_ready_when_all_before_it_have_ended() {
        let mut state = begun();
        state.apply(&start("a", 1)).unwrap();
        state.apply(&success("a", 1)).unwrap();
        assert_eq!(state.step(&name("c")).unwrap().state, StepState::Planned);
        state.apply(&PipelineEvent::Skipped { step: name("b"), reason: SkipReason::Condition }).unwrap();
        assert_eq!(state.step(&name("c")).unwrap().state, StepState::Ready);
        assert!(state.apply(&PipelineEvent::Ended { status: PipelineStatus::Succeeded }).is_err());
    }

    #[test]
    fn what_was_running_when_the_process_died_is_ready_again() {
        let mut state = begun();
        state.apply(&start("a", 1)).unwrap();
        let blob = Blob { digest: Digest::of(b"half"), size: 4 };
        state.apply(&PipelineEvent::Checkpointed { step: name("a"), attempt: 1, blob }).unwrap();
        state.apply(&PipelineEvent::Resumed).unwrap();
        let status = state.step(&name("a")).unwrap();
        assert_eq!((&status.state, status.preempted, status.checkpoint), (&StepState::Ready, 1, Some(blob)));
        // The attempt that was cut off has nothing more to say.
        assert!(state.apply(&success("a", 1)).is_err());
        state.apply(&start("a", 2)).unwrap();
    }

    #[test]
    fn a_journal_that_tells_what_cannot_be_is_corrupt() {
        let entry = |sequence, event| PipelineEntry::new(sequence, Timestamp::UNIX_EPOCH, event);
        let first = PipelineEvent::Begun(Box::new(begun().plan().clone()));
        let told = [entry(1, first.clone()), entry(2, start("c", 1))];
        assert_eq!(PipelineState::replay(&told).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(PipelineState::replay(&told[1..]).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(PipelineState::replay(&[]).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(PipelineState::replay(&told[..1]).unwrap(), begun());
        let gap = [entry(1, first.clone()), entry(3, start("a", 1))];
        assert_eq!(PipelineState::replay(&gap).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(PipelineState::replay(&[entry(2, first)]).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    fn any_event() -> impl Strategy<Value = PipelineEvent> {
        let step = prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")];
        let status = prop_oneof![
            Just(PipelineStatus::Running),
            Just(PipelineStatus::Succeeded),
            Just(PipelineStatus::Failed)
        ];
        (0..9_u8, step, 1..4_u32, status).prop_map(|(sort, step, attempt, status)| match sort {
            0 | 1 => start(step, attempt),
            2 => success(step, attempt),
            3 => PipelineEvent::Resumed,
            4 => PipelineEvent::AttemptFailed {
                step: name(step),
                attempt,
                class: ErrorClass::Transient,
                message: String::new(),
                wait: Duration::ZERO,
            },
            5 => PipelineEvent::Failed {
                step: name(step),
                class: ErrorClass::Permanent,
                message: String::new(),
            },
            6 => PipelineEvent::Skipped { step: name(step), reason: SkipReason::Condition },
            7 => PipelineEvent::Cancelled { step: name(step), reason: String::new() },
            _ => PipelineEvent::Ended { status },
        })
    }

    proptest! {
        #[test]
        fn whatever_happens_no_step_goes_on_after_its_end(events in proptest::collection::vec(any_event(), 0..60)) {
            let mut state = begun();
            for event in &events {
                let before = state.clone();
                let answer = state.apply(event);
                if answer.is_err() {
                    prop_assert_eq!(&state, &before);
                    continue;
                }
                for (step, was) in before.steps() {
                    let is = state.step(step).unwrap();
                    if was.state.is_final() {
                        prop_assert_eq!(&is.state, &was.state);
                        prop_assert_eq!(is.attempts, was.attempts);
                    }
                }
                let c = &state.step(&name("c")).unwrap().state;
                let both = ["a", "b"].iter().all(|step| state.step(&name(step)).unwrap().state.is_final());
                prop_assert_eq!(*c == StepState::Planned, !both);
                let open = state.steps().filter(|(_, step)| !step.state.is_final()).count();
                prop_assert_eq!(state.is_done(), open == 0);
            }
        }
    }
}
