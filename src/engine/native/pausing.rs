//! Pausing: by the freezer of the box's group, or by signals where it has none.

use super::mark::Mark;
use super::processes;
use crate::model::failure::{Failure, FailureKind};

/// Has every program of the box stand still. The shim goes on, so that it can be asked.
pub(super) async fn pause(mut mark: Mark) -> Result<(), Failure> {
    let first = mark.record.init_pid;
    if is_paused(&mark) {
        return Ok(());
    }
    if mark.group.can_freeze() {
        return mark.group.freeze(first).await;
    }
    // Written before the first signal: whoever comes after a server that was killed between two
    // knows what to have go on. What a pause cut short left is no more than its own work.
    if mark.stopped_before.is_none() {
        mark.stopped_before = Some(processes::standing(first));
        mark.write()?;
    }
    if processes::stop(first).await {
        return Ok(());
    }
    resume(&mark)?;
    let message = "a process of the box does not let itself be paused";
    Err(Failure::new(FailureKind::Timeout, message)
        .hint("it starts others faster than they can be stopped, or waits for a disk"))
}

/// Lets them go on. A box that is not paused is left as it is.
pub(super) fn resume(mark: &Mark) -> Result<(), Failure> {
    if mark.group.can_freeze() {
        return Ok(mark.group.thaw()?);
    }
    if let Some(before) = &mark.stopped_before {
        processes::go_on(mark.record.init_pid, before);
        Mark { stopped_before: None, ..mark.clone() }.write()?;
    }
    Ok(())
}

/// Whether every program of the box stands still, as the kernel has it.
pub(super) fn is_paused(mark: &Mark) -> bool {
    if mark.group.can_freeze() {
        return mark.group.is_frozen();
    }
    mark.stopped_before.is_some() && processes::stand_still(mark.record.init_pid)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::engine::BoxRecord;
    use crate::engine::native::layer;
    use crate::model::id::EnvironmentId;

    /// A first process with one below it, which ends with the test.
    struct Family(Child);

    impl Family {
        fn begin() -> Self {
            let mut command = Command::new("sh");
            command.args(["-c", "sh -c 'echo; read line'; true"]).process_group(0);
            let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            let mut family = Self(spawned.expect("a shell"));
            let mut line = String::new();
            let said =
                BufReader::new(family.0.stdout.as_mut().expect("piped")).read_line(&mut line);
            said.expect("the second one is there");
            family
        }
    }

    impl Drop for Family {
        fn drop(&mut self) {
            let group = rustix::process::Pid::from_child(&self.0);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = self.0.wait();
        }
    }

    #[tokio::test]
    async fn a_pause_that_was_cut_short_is_known_to_whoever_comes_next() {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(home.path().join(layer::DIRECTORY)).expect("a layer");
        let family = Family::begin();
        let first = family.0.id();
        let record = BoxRecord {
            environment: EnvironmentId::from_random([1; 8]),
            init_pid: first,
            init_start: 0,
            container: None,
            boot: String::new(),
            endpoint: None,
            run: home.path().join("run"),
        };
        let mark = Mark {
            deck: String::new(),
            record: record.clone(),
            group: super::super::cgroup::Group::default(),
            stopped_before: None,
            tools: Vec::new(),
            program: None,
        };
        // No time at all: it is dropped at its first wait, when the signals are on their way.
        let cut = tokio::time::timeout(Duration::ZERO, pause(mark)).await;
        assert!(cut.is_err(), "a pause waits for its signals to arrive");
        until(|| processes::stand_still(first)).await;
        let mark = Mark::of(&record).expect("it is on record");
        resume(&mark).expect("resumed");
        until(|| !processes::stand_still(first)).await;
        assert!(Mark::of(&record).expect("still there").stopped_before.is_none());
    }

    async fn until(holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(10), "it never came");
            tokio::task::yield_now().await;
        }
    }
}
