//! A network that takes its time.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The port of 127.0.0.1 behind which `port` is, `one_way` away: every byte arrives so much later than it was sent, in
/// both directions, and as many may be under way as want to. Without a delay the port itself.
pub(crate) fn link(port: u16, one_way: Duration) -> u16 {
    if one_way.is_zero() {
        return port;
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let near = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A server that is down refuses.
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            pump(client.try_clone().unwrap(), server.try_clone().unwrap(), one_way);
            pump(server, client, one_way);
        }
    });
    near
}

/// Carries bytes one way until their sender has no more.
fn pump(mut from: TcpStream, mut to: TcpStream, one_way: Duration) {
    to.set_nodelay(true).unwrap();
    let (sender, under_way) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + one_way, buffer[..length].into())).is_err() {
                return;
            }
        }
    });
    // Threads, because the runtime's clock is too coarse for a millisecond.
    thread::spawn(move || {
        for (arrives, bytes) in under_way {
            thread::sleep(arrives.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
