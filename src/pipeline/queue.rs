use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A queue between two stages, bounded in bytes: back-pressure is its capacity. An item larger than the capacity passes
/// alone.
pub(super) fn queue<T>(capacity_bytes: u32) -> (Sender<T>, Receiver<T>) {
    let room = Arc::new(Semaphore::new(capacity_bytes as usize));
    let (sender, receiver) = crossbeam_channel::unbounded();
    (Sender { room: room.clone(), capacity_bytes, sender }, Receiver { room, receiver })
}

/// The giving end.
pub(super) struct Sender<T> {
    room: Arc<Semaphore>,
    capacity_bytes: u32,
    sender: crossbeam_channel::Sender<(T, OwnedSemaphorePermit)>,
}

/// The taking end, for a thread that may block. Dropping it makes every send fail.
pub(super) struct Receiver<T> {
    room: Arc<Semaphore>,
    receiver: crossbeam_channel::Receiver<(T, OwnedSemaphorePermit)>,
}

/// How full a queue is.
#[derive(Debug, Clone)]
pub(super) struct Level {
    room: Arc<Semaphore>,
    capacity_bytes: u32,
}

impl Level {
    /// The bytes that wait; an item larger than the capacity counts as that.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.capacity_bytes).saturating_sub(self.room.available_permits() as u64)
    }
}

/// The other end is gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl<T> Sender<T> {
    /// Waits for room and gives the item over. Cancel-safe: a dropped future gave nothing.
    pub(super) async fn send(&self, item: T, bytes: u64) -> Result<(), Closed> {
        let room = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.capacity_bytes);
        let permit = self.room.clone().acquire_many_owned(room).await.map_err(|_| Closed)?;
        self.sender.send((item, permit)).map_err(|_| Closed)
    }

    /// A look at how full it is.
    pub(super) fn level(&self) -> Level {
        Level { room: self.room.clone(), capacity_bytes: self.capacity_bytes }
    }

    /// The same from a thread that is not the runtime's.
    pub(super) fn send_blocking(&self, runtime: &Handle, item: T, bytes: u64) -> Result<(), Closed> {
        runtime.block_on(self.send(item, bytes))
    }
}

impl<T> Receiver<T> {
    /// The next item; blocks. `None`: the giving end is gone and nothing is left.
    pub(super) fn recv(&self) -> Option<T> {
        self.receiver.recv().ok().map(|(item, _permit)| item)
    }

    /// The next item, if there is one at once.
    pub(super) fn try_recv(&self) -> Option<T> {
        self.receiver.try_recv().ok().map(|(item, _permit)| item)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.room.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_counted_in_bytes() {
        let (sender, receiver) = queue(10);
        sender.send('a', 6).await.unwrap();
        assert_eq!(sender.level().bytes(), 6);
        {
            let mut waiting = std::pin::pin!(sender.send('b', 6));
            assert!(futures_poll(waiting.as_mut()).await.is_none());
            assert_eq!(receiver.recv(), Some('a'));
            waiting.await.unwrap();
        }
        assert_eq!(receiver.try_recv(), Some('b'));
        sender.send('c', 1 << 40).await.unwrap();
        assert_eq!(receiver.recv(), Some('c'));
        drop(receiver);
        assert_eq!(sender.send('d', 1).await, Err(Closed));
    }

    /// Polls once.
    async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match future.as_mut().poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
