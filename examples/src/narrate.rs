//! What the examples tell the person who runs them.

use std::fmt;
use std::io::Write as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Prints a numbered step. A reader that closes the pipe does not stop the program.
pub fn step(number: u32, title: &str) {
    line(format_args!("\n{number:>2}  {title}"));
}

/// Prints one line under the current step.
pub fn say(text: impl fmt::Display) {
    for row in text.to_string().lines() {
        line(format_args!("    {row}"));
    }
}

fn line(text: fmt::Arguments<'_>) {
    // Whoever runs `closed_loop | head` has seen enough; that is no failure of the loop.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A progress bar that appears once the work has taken a second.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    began: Instant,
    shown: bool,
}

impl Progress {
    /// A bar over `length` units of `what`.
    pub fn new(what: &str, length: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("    {msg} {bar:30} {pos}/{len}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what.to_owned());
        Self { bar, began: Instant::now(), shown: false }
    }

    /// Counts one unit.
    pub fn tick(&mut self) {
        self.bar.inc(1);
        if !self.shown && self.began.elapsed() > Duration::from_secs(1) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.shown = true;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
