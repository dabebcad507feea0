use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;
use serde_json::{Value, json};

use crate::Result;

pub const PROTOCOL: StreamProtocol = StreamProtocol::new("/punchgate/tunnel/1.0.0");
const MAX_FRAME: usize = 65536;
const CHUNK: usize = 65536;

async fn write_frame(stream: &mut Stream, value: Value) -> Result<()> {
    let body = value.to_string();
    stream
        .write_all(&u32::try_from(body.len())?.to_be_bytes())
        .await?;
    stream.write_all(body.as_bytes()).await?;
    Ok(stream.flush().await?)
}

async fn read_frame(stream: &mut Stream) -> Result<Value> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(format!("a frame of {length} bytes").into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}

pub async fn open(control: &mut Control, peer: PeerId, service: &str) -> Result<Stream> {
    let mut stream = control.open_stream(peer, PROTOCOL).await?;
    write_frame(&mut stream, json!({"service_name": service})).await?;
    let answer = read_frame(&mut stream)
        .await
        .map_err(|error| format!("service not reachable: {error}"))?;
    match answer["accepted"].as_bool() {
        Some(true) => Ok(stream),
        Some(false) => Err(format!(
            "rejected: {}",
            answer["reason"].as_str().unwrap_or_default()
        )
        .into()),
        None => Err("an answer without \"accepted\"".into()),
    }
}

/// An error drops the stream while it is open, and so resets it.
pub async fn serve(mut stream: Stream) {
    if serve_request(&mut stream).await.is_ok() {
        let _ = stream.close().await;
    }
}

async fn serve_request(stream: &mut Stream) -> Result<()> {
    let request = read_frame(stream).await?;
    let name = request["service_name"]
        .as_str()
        .ok_or("a request without \"service_name\"")?;
    let known = ["echo", "reset", "sink", "source"].contains(&name);
    if !known {
        let reason = format!("unknown service: {name}");
        return write_frame(stream, json!({"accepted": false, "reason": reason})).await;
    }
    write_frame(stream, json!({"accepted": true})).await?;
    match name {
        "echo" => serve_echo(stream).await,
        "reset" => serve_reset(stream).await,
        "sink" => serve_sink(stream).await,
        _ => serve_source(stream).await,
    }
}

async fn serve_echo(stream: &mut Stream) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
        stream.flush().await?;
    }
}

async fn serve_reset(stream: &mut Stream) -> Result<()> {
    stream.read_exact(&mut [0]).await?;
    Err("reset is what this service is for".into())
}

async fn serve_sink(stream: &mut Stream) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut count = 0;
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(stream.write_all(count.to_string().as_bytes()).await?);
        }
        count += n;
    }
}

async fn serve_source(stream: &mut Stream) -> Result<()> {
    let mut line = String::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        if byte[0] == b'\n' {
            break;
        }
        line.push(byte[0].into());
    }
    let mut left: usize = line.parse()?;
    let chunk = vec![0; CHUNK];
    while left > 0 {
        let n = left.min(CHUNK);
        stream.write_all(&chunk[..n]).await?;
        left -= n;
    }
    Ok(())
}
