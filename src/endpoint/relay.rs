//! Passing bytes both ways between two streams.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::stats::{Counter, Counters};

const BUFFER_BYTES: usize = 16 * 1024;

/// How long the rest of what a side had to say is waited for, once it takes nothing more.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why one direction is over.
enum End {
    /// The reading side ended its stream; everything before it, and the end, is passed on.
    Finished,
    /// The reading side is gone.
    SourceGone,
    /// The writing side takes nothing more. It may still have said something, such as why.
    SinkGone,
}

/// Passes bytes until both directions are over.
///
/// The end of one stream is passed on and does not end the other direction. A side that is gone ends both, after the
/// other direction had a chance to deliver what it had.
pub(super) async fn relay<R, W, S, T>(client: (R, W), upstream: (S, T), counters: &Counters)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    S: AsyncRead + Unpin,
    T: AsyncWrite + Unpin,
{
    let (mut client_reader, mut client_writer) = client;
    let (mut upstream_reader, mut upstream_writer) = upstream;
    let mut up = std::pin::pin!(pass(&mut client_reader, &mut upstream_writer, &counters.upstream_bytes));
    let mut down = std::pin::pin!(pass(&mut upstream_reader, &mut client_writer, &counters.client_bytes));
    tokio::select! {
        end = &mut up => finish(end, down).await,
        end = &mut down => finish(end, up).await,
    }
}

async fn finish(first: End, other: impl Future<Output = End>) {
    match first {
        End::Finished => {
            other.await;
        }
        End::SourceGone => {}
        End::SinkGone => {
            // Bounded, for the sink may be alive and silent.
            let _ = timeout(LAST_WORDS, other).await;
        }
    }
}

async fn pass(reader: &mut (impl AsyncRead + Unpin), writer: &mut (impl AsyncWrite + Unpin), passed: &Counter) -> End {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = match reader.read(&mut buffer).await {
            Ok(0) => {
                return match writer.shutdown().await {
                    Ok(()) => End::Finished,
                    Err(_) => End::SinkGone,
                };
            }
            Ok(count) => count,
            Err(_) => return End::SourceGone,
        };
        if writer.write_all(&buffer[..count]).await.is_err() {
            return End::SinkGone;
        }
        passed.add(count);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{duplex, split};

    use super::*;

    #[tokio::test]
    async fn the_last_words_of_a_side_that_takes_nothing_more_are_delivered() {
        // invariant 5: a server that says why and hangs up, while the client still sends
        let (mut client, client_side) = duplex(1 << 20);
        let (mut server, server_side) = duplex(64);
        let counters = Counters::default();
        let mut sent = 0;
        let outcome = async {
            client.write_all(&[7; 100_000]).await?;
            server.write_all(b"too large").await?;
            sent = server.read(&mut [0; 64]).await?;
            drop(server);
            let mut received = Vec::new();
            client.read_to_end(&mut received).await?;
            std::io::Result::Ok(received)
        };
        let (_, received) = tokio::join!(relay(split(client_side), split(server_side), &counters), outcome);
        assert!(matches!(received.as_deref(), Ok(b"too large")));
        assert!(sent > 0);
    }
}
