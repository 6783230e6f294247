//! What the Linux kernel says of machine and process under `/proc`: pure readers of its text.
//!
//! Four small files answer all that is asked here, so no library of system information is needed: those come with readers for a
//! dozen platforms and a hundred quantities, and with processes, disks and users that nobody asked for.

/// Memory of the machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) total: u64,
    /// What programs could get without anything being swapped out.
    pub(super) available: u64,
}

/// Reads `/proc/meminfo`.
pub(super) fn memory(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
    };
    let memory = Memory { total: field("MemTotal")?, available: field("MemAvailable")? };
    (memory.total > 0 && memory.available <= memory.total).then_some(memory)
}

/// How long all processors together were busy, and how long they were there, in clock ticks since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CpuTime {
    pub(super) busy: u64,
    pub(super) total: u64,
    /// How many processors there are.
    pub(super) cpus: u64,
}

/// Reads `/proc/stat`: its first line, and how many follow for single processors.
pub(super) fn cpu_time(text: &str) -> Option<CpuTime> {
    let numbers = text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    // user, nice, system, idle, iowait, irq, softirq, steal; what guests used is in `user` already.
    let times = numbers.take(8).map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
    let &[_, _, _, idle, ..] = &times[..] else { return None };
    let idle = idle.checked_add(times.get(4).copied().unwrap_or(0))?;
    let total = times.iter().try_fold(0_u64, |sum, time| sum.checked_add(*time))?;
    let single = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let cpus = text.lines().skip(1).take_while(single).count() as u64;
    Some(CpuTime { busy: total - idle, total, cpus: cpus.max(1) })
}

/// Reads `/proc/self/stat`: how long the process used processors, in clock ticks, its threads and not its children.
pub(super) fn process_time(text: &str) -> Option<u64> {
    // The second field is the program's name in brackets, which may hold blanks and brackets; `utime` and `stime` are the
    // 14th and the 15th.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut time = || fields.next()?.parse::<u64>().ok();
    time()?.checked_add(time()?)
}

/// Reads `/proc/self/status`: the memory of the process that is in use and not swapped out, in bytes.
pub(super) fn resident(text: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Recorded on Debian 12, Linux 6.1.
    const MEMINFO: &str = "MemTotal:       24684092 kB\nMemFree:        12181672 kB\nMemAvailable:   22529304 kB\nBuffers:           74804 kB\n";
    const STAT: &str = "cpu  231551 31486 32039 112857 526 0 166 572 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu1 1 2 3 4 5 6 7 8 9 10\nintr 7\n";
    const SELF: &str = "3906 (cat) R 3886 3886 5103 0 -1 4194304 102 0 0 0 17 5 8 9 20 0 1 0 205021 3133440 411 18446744073709551615\n";

    #[test]
    fn recorded_text_is_read() {
        let expected = Memory { total: 24_684_092 * 1_024, available: 22_529_304 * 1_024 };
        assert_eq!(memory(MEMINFO), Some(expected));
        let busy = 231_551 + 31_486 + 32_039 + 166 + 572;
        assert_eq!(cpu_time(STAT), Some(CpuTime { busy, total: busy + 112_857 + 526, cpus: 2 }));
        assert_eq!(process_time(SELF), Some(22));
        assert_eq!(process_time(&SELF.replace("(cat)", "(a) b ( c))")), Some(22));
        assert_eq!(resident("Name:\tcat\nVmHWM:\t 999 kB\nVmRSS:\t    1644 kB\n"), Some(1_644 * 1_024));
        // Linux 2.4 had four numbers.
        assert_eq!(cpu_time("cpu  1 2 3 4\n"), Some(CpuTime { busy: 6, total: 10, cpus: 1 }));
    }

    #[test]
    fn other_text_is_no_number_and_no_panic() {
        let huge = u64::MAX;
        for text in [
            "",
            "MemTotal: 5 kB",
            "MemTotal: x kB\nMemAvailable: 1 kB",
            "MemTotal: 1 MB\nMemAvailable: 1 MB",
            "MemTotal: 0 kB\nMemAvailable: 0 kB",
            "MemTotal: 1 kB\nMemAvailable: 2 kB",
            &format!("MemTotal: {huge} kB\nMemAvailable: 1 kB"),
        ] {
            assert_eq!(memory(text), None, "{text:?}");
        }
        for text in [
            "",
            "cpu",
            "cpu  1 2 3",
            "cpu  1 2 3 x",
            "cpu  1 2 3 -4",
            "intr 1 2 3 4",
            &format!("cpu  {huge} {huge} 1 1"),
        ] {
            assert_eq!(cpu_time(text), None, "{text:?}");
        }
        for text in [
            "",
            "1 cat R",
            "1 (cat) R 1 2",
            &SELF.replace(" 17 5 ", " x 5 "),
            &SELF.replace(" 17 ", &format!(" {huge} ")),
        ] {
            assert_eq!(process_time(text), None, "{text:?}");
        }
        for text in ["", "VmRSS:", "VmRSS: kB", "VmRSS: 1", &format!("VmRSS: {huge} kB")] {
            assert_eq!(resident(text), None, "{text:?}");
        }
    }
}
