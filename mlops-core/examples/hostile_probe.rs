use mlops_core::experiment::Filter;
use std::time::Instant;
fn main() {
    const M: usize = Filter::MAX_LENGTH;
    let fill = |p: &str| p.repeat(M / p.len());
    let mut worst = 0.0f64;
    for text in [
        "(".repeat(100_000),
        "NOT ".repeat(100_000),
        fill("("),
        fill("'"),
        fill("`"),
        fill("x"),
        fill(" "),
        fill("\u{202e}"),
        fill("é"),
        format!("params.a = '{}", "''".repeat(500_000)),
        format!("params.a = '{}'", "x".repeat(1_000_000)),
        format!("params.{} = 'x'", "k".repeat(1_000_000)),
        format!("metrics.a > {}", "9".repeat(1_000_000)),
        format!("metrics.a > 0.{}1", "0".repeat(1_000_000)),
        format!("start_time > {}", "9".repeat(1_000_000)),
        format!("start_time > 0.{}1", "0".repeat(1_000_000)),
        fill("metrics.a>1 AND "),
        format!("{}TRUE", "TRUE OR ".repeat(M / 8 - 1)),
        format!("{}TRUE", "NOT TRUE OR ".repeat(M / 12 - 1)),
        format!("{}TRUE", "min(metrics.a)>1 OR ".repeat(M / 20 - 1)),
        format!("run_id IN ({}", "'',".repeat(300_000)),
        format!("run_id IN ({})", "'',".repeat(300_000)),
        format!("status IN ({})", "'FAILED',".repeat(100_000)),
        format!("status NOT IN ({})", "'FAILED',".repeat(100_000)),
        format!("{}TRUE", "tags.a='' OR ".repeat(M / 13 - 1)),
        fill("TRUE AND FALSE OR "),
        fill("ALL(TRUE) AND "),
        format!("parent_run_id NOT IN ({})", "'00000000000000000000000000000000',".repeat(29_000)),
        format!("{}TRUE", "status='FAILED'OR ".repeat(M / 18 - 1)),
        format!("{}TRUE", "dataset()OR ".repeat(M / 12 - 1)),
    ] {
        let t = Instant::now();
        let r = Filter::parse(&text);
        let ms = t.elapsed().as_secs_f64() * 1e3;
        worst = worst.max(ms);
        println!(
            "{ms:8.2} ms {:?} {}",
            text.chars().take(24).collect::<String>(),
            match r {
                Ok(_) => "ok".into(),
                Err(e) => e.to_string().chars().take(90).collect::<String>(),
            }
        );
    }
    println!("worst {worst:.2}");
}
