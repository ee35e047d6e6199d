//! The threads of an outpost, and which of them goes first where they share a processor.
//!
//! Clients wait for those that answer and for nobody else. The system, left to itself, lets whoever runs go on to the
//! end of its slice, some milliseconds, even where somebody waits who would need a hundredth of that.

use std::io;
use std::num::NonZero;

use tokio::runtime::{Builder, Runtime};

/// How much less than clients the threads count on which nobody waits, as `nice` has it.
const YIELDING: i32 = 19;

/// The threads that answer clients: two at most, and never more than processors, as threads that share one only wake
/// each other. Where it is one, it is that which calls this.
///
/// # Errors
/// When the system gives no more threads.
pub fn answering() -> io::Result<Runtime> {
    match std::thread::available_parallelism().map_or(2, NonZero::get) {
        // A thread that shares its work with nobody need not ask whether somebody else has some.
        1 => {
            slice::ask_for(slice::ANSWERING);
            Builder::new_current_thread().enable_all().build()
        }
        _ => {
            let hurry = || slice::ask_for(slice::ANSWERING);
            Builder::new_multi_thread()
                .worker_threads(2)
                .thread_name("data")
                .on_thread_start(hurry)
                .enable_all()
                .build()
        }
    }
}

/// The threads of the importer and of the admin port. Where they share a processor with those that answer
/// clients, the latter go first: a pass would otherwise keep it from them for milliseconds.
///
/// # Errors
/// When the system gives no more threads.
pub fn upkeep() -> io::Result<Runtime> {
    let stand_back = || {
        if let Err(error) = rustix::process::setpriority_process(None, YIELDING) {
            tracing::debug!(%error, "the threads of the importer count as much as those that answer clients");
        }
        slice::ask_for(slice::UPKEEP);
    };
    Builder::new_multi_thread().worker_threads(1).thread_name("upkeep").on_thread_start(stand_back).enable_all().build()
}

/// For how long a thread asks to run at a time. Linux lets the one that asks for less go first, and needs no
/// privilege for it (sched_setattr(2), since 6.12; before, it changes nothing).
#[cfg(target_os = "linux")]
mod slice {
    use std::time::Duration;

    /// The shortest that Linux grants.
    pub const ANSWERING: Duration = Duration::from_micros(100);

    /// Longer than that of those who go first; shorter than what it would be, or a thread that counts for little
    /// would wait for its turn, with whatever lock it may hold, until all others had theirs.
    pub const UPKEEP: Duration = Duration::from_micros(500);

    /// Asks for it for the calling thread.
    pub fn ask_for(slice: Duration) {
        let asked = uapi::sched_getattr(0, 0).and_then(|mut own| {
            own.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
            uapi::sched_setattr(0, &own, 0)
        });
        if let Err(error) = asked {
            tracing::debug!(%error, "the system decides by itself for how long this thread runs at a time");
        }
    }
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
mod slice {
    use std::time::Duration;

    pub const ANSWERING: Duration = Duration::ZERO;
    pub const UPKEEP: Duration = Duration::ZERO;

    pub fn ask_for(_: Duration) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn who_answers_clients_asks_for_less_time_at_once_than_who_keeps_things_up() {
        let of = |runtime: Runtime| {
            let own = runtime.block_on(async { tokio::spawn(async { uapi::sched_getattr(0, 0) }).await });
            own.expect("a task to its end").expect("Linux")
        };
        let (answers, upkeep) = (of(answering().expect("threads")), of(super::upkeep().expect("threads")));
        // Before Linux 6.12 there is none to be told of.
        let is_told = upkeep.sched_runtime != 0;
        assert_eq!(answers.sched_runtime < upkeep.sched_runtime, is_told);
        assert!(answers.sched_nice < upkeep.sched_nice);
    }
}
