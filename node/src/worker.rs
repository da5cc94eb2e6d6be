//! Where heavy, pure work is computed: on the machine's cores, or inline for simulations.

/// Spreads pure work over threads, or does it in the caller's turn.
#[derive(Clone, Copy, Debug)]
pub struct Worker {
    threads: usize,
}

impl Worker {
    /// Uses as many threads as the machine has cores.
    pub fn cores() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Computes in the caller's turn: deterministic.
    pub fn inline() -> Self {
        Self { threads: 0 }
    }

    /// Applies a function to every item and returns the results in the order of the items.
    pub async fn spread<T, R, F>(&self, items: Vec<T>, work: F) -> Vec<R>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Fn(T) -> R + Clone + Send + 'static,
    {
        if self.threads == 0 {
            return items.into_iter().map(work).collect();
        }
        let share = items.len().div_ceil(self.threads).max(1);
        let mut rest = items.into_iter();
        let mut tasks = Vec::new();
        loop {
            let part: Vec<T> = rest.by_ref().take(share).collect();
            if part.is_empty() {
                break;
            }
            let work = work.clone();
            tasks.push(tokio::task::spawn_blocking(move || {
                part.into_iter().map(work).collect::<Vec<R>>()
            }));
        }
        let mut done = Vec::new();
        for task in tasks {
            done.extend(
                task.await
                    .expect("pure work does not panic and is not aborted"),
            );
        }
        done
    }
}
