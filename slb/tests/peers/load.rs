//! A load generator that runs again and again, and what it has said.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::program::said;

/// One run, from its start to its end.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    /// What was wrong with it.
    pub(crate) error: Option<String>,
}

/// Runs until it is told to stop.
pub(crate) struct Load {
    stopped: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<Run>>,
}

/// A program, and what it has said that is an error.
pub(crate) struct Generator {
    pub(crate) command: Command,
    pub(crate) error: fn(bool, &str) -> bool,
}

impl Load {
    pub(crate) fn start(mut generator: Generator) -> Self {
        let (stopped, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stop, count) = (stopped.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            let mut runs = Vec::new();
            while !stop.load(Ordering::Acquire) {
                let started = Instant::now();
                let (content, text) = said(&mut generator.command);
                let error = (generator.error)(content, &text).then_some(text);
                runs.push(Run { started, ended: Instant::now(), error });
                count.fetch_add(1, Ordering::Release);
            }
            runs
        });
        Self { stopped, done, thread }
    }

    /// Runs that are over.
    pub(crate) fn runs(&self) -> usize {
        self.done.load(Ordering::Acquire)
    }

    pub(crate) fn stop(self) -> Vec<Run> {
        self.stopped.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}
