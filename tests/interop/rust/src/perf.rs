//! Throughput. Source: libp2p/specs perf/perf.md.

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;

use crate::Result;

pub const PROTOCOL: StreamProtocol = StreamProtocol::new("/perf/1.0.0");
const CHUNK: usize = 65536;

async fn give(stream: &mut Stream, mut left: u64) -> Result<()> {
    let chunk = vec![0; CHUNK];
    while left > 0 {
        let n = left.min(CHUNK as u64);
        stream.write_all(&chunk[..n as usize]).await?;
        left -= n;
    }
    Ok(())
}

async fn count(stream: &mut Stream) -> Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(bytes),
            n => bytes += n as u64,
        }
    }
}

/// An error drops the stream while it is open, and so resets it.
pub async fn serve(mut stream: Stream) {
    if serve_request(&mut stream).await.is_ok() {
        let _ = stream.close().await;
    }
}

async fn serve_request(stream: &mut Stream) -> Result<()> {
    let mut wanted = [0; 8];
    stream.read_exact(&mut wanted).await?;
    count(stream).await?;
    give(stream, u64::from_be_bytes(wanted)).await
}

pub async fn ask(control: &mut Control, peer: PeerId, up: u64, down: u64) -> Result<()> {
    let mut stream = control.open_stream(peer, PROTOCOL).await?;
    stream.write_all(&down.to_be_bytes()).await?;
    give(&mut stream, up).await?;
    stream.close().await?;
    let got = count(&mut stream).await?;
    if got != down {
        return Err(format!("{got} bytes instead of {down}").into());
    }
    Ok(())
}
