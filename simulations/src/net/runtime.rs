//! The runtime of one simulated process: everything it runs can be ended at one moment, without a
//! word to anybody, as a power cut would.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use node::clock::Moment;
use tokio::task::JoinHandle;

use super::{AsyncTimer, AsyncUdpSocket, Runtime};

/// Spawns and owns the tasks of one process, those of the QUIC stack included; clones are the same
/// process.
#[derive(Clone, Default)]
pub struct NodeRuntime(Arc<Mutex<Tasks>>);

#[derive(Default)]
struct Tasks {
    handles: Vec<JoinHandle<()>>,
    /// Finished handles are swept out when there are so many.
    sweep_at: usize,
    crashed: bool,
}

impl fmt::Debug for NodeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeRuntime({} tasks)", self.running())
    }
}

impl NodeRuntime {
    /// A process that has just started and runs nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task of this process. Tasks it spawns itself should come through here too, or be owned
    /// by it (a `JoinSet` ends with its owner); anything else would survive the crash.
    /// After a crash the task is dropped.
    pub fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        if tasks.crashed {
            return;
        }
        if tasks.handles.len() >= tasks.sweep_at {
            tasks.handles.retain(|handle| !handle.is_finished());
            tasks.sweep_at = 2 * tasks.handles.len() + 16;
        }
        tasks.handles.push(tokio::spawn(task));
    }

    /// Ends every task where it stands and returns when all of them are gone. To be called from
    /// outside the process, after its address has been taken off the network: what its tasks do
    /// while they are dropped must not be heard.
    pub async fn crash(&self) {
        let handles = {
            let mut tasks = self.tasks();
            tasks.crashed = true;
            std::mem::take(&mut tasks.handles)
        };
        for handle in &handles {
            handle.abort();
        }
        for handle in handles {
            // Cancelled or finished, it is gone either way; a panic was reported when it happened.
            let _ = handle.await;
        }
    }

    /// Tasks that have not ended.
    pub fn running(&self) -> usize {
        self.tasks()
            .handles
            .iter()
            .filter(|handle| !handle.is_finished())
            .count()
    }
}

impl Runtime for NodeRuntime {
    fn new_timer(&self, at: Moment) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(tokio::time::sleep_until(at.into()))
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.run(task);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        // A simulated process has no way to the machine's network.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Moment {
        tokio::time::Instant::now().into_std()
    }
}
