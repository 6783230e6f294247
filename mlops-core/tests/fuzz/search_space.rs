//! Search spaces in their own notations and in Azure's: what is accepted can be sampled, and reads back as it was written.

use mlops_core::conformance::fuzz::Input;
use mlops_core::experiment::sampler::{Goal, Observation, Outcome, SamplerSpec, SuggestRequest};
use mlops_core::experiment::space::SearchSpace;
use serde_json::{Value, json};

use super::{edited, read};

const TOML: &str = r#"
rate = { type = "float", low = 1e-5, high = 0.1, log = true }
depth = { type = "int", low = 2, high = 10, step = 2 }
width = { type = "quniform", min = 0.3, max = 4.6, q = 0.5 }
seed = { type = "randint", upper = 6 }
weight = { type = "qlognormal", mu = 1.0, sigma = 0.5, q = 0.5 }
batch = 32

[model]
type = "choice"
values = ["linear", { kind = "forest", trees = { type = "int", low = 10, high = 500, log = true } }]
"#;

const AZURE: &str = r#"
type: sweep
search_space:
  rate: {type: loguniform, min_value: -6, max_value: -1}
  size: {type: choice, values: [16, 32, 64]}
  weight: {type: qnormal, mu: 0, sigma: 2.5, q: 0.5}
"#;

fn own() -> Value {
    toml::from_str(TOML).unwrap()
}

fn wire() -> Value {
    json!({
        "rate": ["loguniform", [-6, -1]],
        "size": ["choice", [[16, 32, {"kind": "deep", "layers": ["randint", [4]]}]]],
        "weight": ["qnormal", [0.0, 2.5, 0.5]],
        "drop": ["uniform", [0.0, 0.9]],
    })
}

/// Every sampler suggests values of the space, and each notation that can write it reads it again.
fn use_space(input: &mut Input<'_>, space: &SearchSpace) {
    assert!(!space.paths().is_empty());
    let text = serde_json::to_string(space).unwrap();
    assert_eq!(&SearchSpace::from_json(&text).unwrap(), space, "{text}");
    read(space.digest());
    // What Azure has no name for is written as what has the same law; from then on nothing changes.
    if let Ok(wire) = space.to_azure_json() {
        let once = SearchSpace::from_azure_json(&wire.to_string()).unwrap();
        let again = once.to_azure_json().map(|wire| SearchSpace::from_azure_json(&wire.to_string()).unwrap());
        assert_eq!(again.as_ref(), Ok(&once), "{wire}");
    }
    #[cfg(feature = "yaml")]
    if let Ok(text) = space.to_azure_yaml() {
        let once = SearchSpace::from_azure_yaml(&text).unwrap();
        let again = once.to_azure_yaml().map(|text| SearchSpace::from_azure_yaml(&text).unwrap());
        assert_eq!(again.as_ref(), Ok(&once), "{text}");
    }
    let mut history = Vec::new();
    for text in [r#"{"type": "random"}"#, r#"{"type": "sobol"}"#, r#"{"type": "tpe", "startup_trials": 4}"#] {
        let sampler = serde_json::from_str::<SamplerSpec>(text).unwrap().build().unwrap();
        for number in 0..4 {
            let request = SuggestRequest::new(space, Goal::Minimize, 1).with_number(100 + number);
            let request = request.with_history(&history);
            let trial = sampler.suggest(&request).unwrap().into_assignment().unwrap();
            assert_eq!(space.check(&trial), Ok(()), "{text}: {trial}");
            let (number, value) = (history.len() as u64, input.f64());
            history.push(Observation::new(number, trial, Outcome::Completed { value }));
        }
    }
}

pub(crate) fn space_text(input: &mut Input<'_>) {
    let own = own().to_string();
    let space = match input.byte() % 4 {
        0 => read(SearchSpace::from_toml(&edited(input, TOML))),
        1 => read(SearchSpace::from_json(&edited(input, &own))),
        #[cfg(feature = "yaml")]
        2 => read(SearchSpace::from_yaml(&edited(input, &own))),
        _ => read(SearchSpace::from_toml(&input.rest())),
    };
    if let Some(space) = space {
        use_space(input, &space);
    }
}

/// A space with a parameter of every kind, spoilt as a document rather than as text.
pub(crate) fn space_json(input: &mut Input<'_>) {
    if let Some(space) = read(SearchSpace::from_json(&input.json(&own()).to_string())) {
        use_space(input, &space);
    }
}

pub(crate) fn space_azure(input: &mut Input<'_>) {
    let space = match input.byte() % 4 {
        0 => read(SearchSpace::from_azure_json(&edited(input, &wire().to_string()))),
        #[cfg(feature = "yaml")]
        1 => read(SearchSpace::from_azure_yaml(&edited(input, AZURE))),
        #[cfg(feature = "yaml")]
        2 => {
            let job = json!({"search_space": {"rate": {"type": "qloguniform", "min_value": -6, "max_value": 1, "q": 0.1}}});
            read(SearchSpace::from_azure_yaml(&input.json(&job).to_string()))
        }
        _ => read(SearchSpace::from_azure_json(&input.json(&wire()).to_string())),
    };
    let _ = AZURE;
    if let Some(space) = space {
        use_space(input, &space);
    }
}
