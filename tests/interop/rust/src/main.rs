//! The rust-libp2p side of the interop tests; ../README.md holds its command line contract.

mod alter;
mod autonat;
mod hostile;
mod kad;
mod keys;
mod noise_faults;
mod perf;
mod relay;
mod tunnel;

use std::{
    collections::hash_map::RandomState, error::Error, hash::BuildHasher, io, process::exit, thread,
    time::Duration,
};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt, try_join};
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, dcutr, identify,
    identity::{KeyType, Keypair},
    kad::{Mode, store::MemoryStore},
    mdns,
    multiaddr::Protocol,
    noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent, behaviour::toggle::Toggle},
    tcp, yamux,
};
use libp2p_stream::Control;
use serde_json::{Value, json};
use tokio::sync::mpsc;

const DEADLINE: Duration = Duration::from_secs(30);
const LONG_DEADLINE: Duration = Duration::from_secs(120);
const EXIT_DEADLINE: i32 = 75;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: Toggle<identify::Behaviour>,
    ping: ping::Behaviour,
    stream: libp2p_stream::Behaviour,
    kad: Toggle<libp2p::kad::Behaviour<MemoryStore>>,
    mdns: Toggle<mdns::tokio::Behaviour>,
    relay: Toggle<libp2p::relay::Behaviour>,
    client: Toggle<libp2p::relay::client::Behaviour>,
    dcutr: Toggle<dcutr::Behaviour>,
    autonat: Toggle<libp2p::autonat::v1::Behaviour>,
    autonat_client: Toggle<libp2p::autonat::v2::client::Behaviour>,
    autonat_server: Toggle<libp2p::autonat::v2::server::Behaviour>,
}

/// What a swarm has besides what all have.
#[derive(Default)]
struct Extras {
    relay: Option<libp2p::relay::Config>,
    /// Reserves at relays, and dials through them.
    client: bool,
    dcutr: bool,
    autonat: Option<libp2p::autonat::v1::Config>,
    autonat_client: bool,
    autonat_server: bool,
}

fn report(line: Value) {
    println!("{line}");
}

fn fail(code: i32, reason: String) -> ! {
    report(json!({"event": "error", "reason": reason}));
    exit(code)
}

#[tokio::main]
async fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let key = keys::take(&mut arguments).unwrap_or_else(|error| fail(1, error.to_string()));
    let others = kad::Neighbours::take(&mut arguments).unwrap_or_else(|error| fail(1, error.to_string()));
    let result = match arguments.split_first() {
        Some((command, rest)) if command == "listen" => listen(key, rest, others).await,
        Some((command, rest)) if matches!(command.as_str(), "relay" | "reserve" | "path" | "autonat-server") => {
            stay(key, command, rest).await
        }
        Some((command, rest)) => {
            let patience = match command.as_str() {
                "perf" | "streams" => LONG_DEADLINE,
                _ => DEADLINE,
            };
            match tokio::time::timeout(patience, query(key, command, rest, others)).await {
                Ok(result) => result,
                Err(_) => fail(EXIT_DEADLINE, format!("the deadline of {patience:?} has passed")),
            }
        }
        None => Err("a command is missing".into()),
    };
    if let Err(error) = result {
        fail(1, error.to_string())
    }
    // Without this the runtime would wait for the swarm, which never ends.
    exit(0)
}

/// The value of the one option that a command may have.
fn option<'a>(arguments: &'a [String], name: &str) -> Result<Option<&'a str>> {
    match arguments {
        [] => Ok(None),
        [given, value] if given == name => Ok(Some(value)),
        _ => Err(format!("unexpected arguments: {}", arguments.join(" ")).into()),
    }
}

fn number(arguments: &[String], name: &str, otherwise: usize) -> Result<usize> {
    Ok(option(arguments, name)?.map_or(Ok(otherwise), str::parse)?)
}

/// Commands that have no deadline, or one of their own.
async fn stay(key: Keypair, command: &str, arguments: &[String]) -> Result<()> {
    let options = |rest: &[String]| relay::Options::parse(rest);
    match (command, arguments) {
        ("relay", rest) => relay::relay(key, options(rest)?).await,
        ("reserve", [addr, rest @ ..]) => relay::reserve(key, addr, options(rest)?).await,
        ("path", [addr, rest @ ..]) => relay::path(key, addr, options(rest)?).await,
        ("autonat-server", rest) => autonat::server(key, options(rest)?).await,
        _ => Err(format!("{command} wants an address").into()),
    }
}

async fn query(key: Keypair, command: &str, arguments: &[String], others: kad::Neighbours) -> Result<()> {
    match (command, arguments) {
        ("dht", rest) => kad::ask(key, &others, rest).await,
        ("autonat", [addr, rest @ ..]) => autonat::ask(key, addr, relay::Options::parse(rest)?).await,
        ("ping", [addr, rest @ ..]) => {
            let count = number(rest, "--count", 5)?;
            Dialer::new(addr, key).await?.pings(count).await
        }
        ("identify", [addr]) => Dialer::new(addr, key).await?.identify().await,
        ("echo" | "halfclose", [addr, service, rest @ ..]) => {
            let size = number(rest, "--bytes", 1000)?;
            let to_end = command == "halfclose";
            let mut dialer = Dialer::new(addr, key).await?;
            dialer.exchange(service, size, to_end).await?;
            report(json!({"event": command, "ok": true, "bytes": size, "relayed": dialer.relayed}));
            Ok(())
        }
        ("perf", [addr, up_name, up, down_name, down])
            if up_name == "--up" && down_name == "--down" =>
        {
            Dialer::new(addr, key).await?.perf(up.parse()?, down.parse()?).await
        }
        ("streams", [addr, service, rest @ ..]) => {
            let count = number(rest, "--count", 100)?;
            Dialer::new(addr, key).await?.streams(service, count).await
        }
        ("faults", []) => {
            report(json!({"event": "faults", "names": hostile::names()}));
            Ok(())
        }
        ("misbehave", [addr, fault]) => hostile::misbehave(addr, key, fault).await,
        ("reset", [addr, service]) => Dialer::new(addr, key).await?.reset(service).await,
        ("expect-reset", [addr, service]) => Dialer::new(addr, key).await?.expect_reset(service).await,
        _ => Err(format!("cannot do: {command} {}", arguments.join(" ")).into()),
    }
}

fn new_swarm_with(key: Keypair, fault: &str, extras: Extras) -> Result<Swarm<Behaviour>> {
    swarm_of(key, false, Duration::from_secs(15), Box::leak(fault.into()), extras)
}

/// Without a fault this is what rust-libp2p's own builder makes.
fn new_swarm(key: Keypair, signed: bool, ping_interval: Duration, fault: &'static str) -> Result<Swarm<Behaviour>> {
    swarm_of(key, signed, ping_interval, fault, Extras::default())
}

fn swarm_of(key: Keypair, signed: bool, ping_interval: Duration, fault: &'static str, extras: Extras) -> Result<Swarm<Behaviour>> {
    let own = key.public().to_peer_id();
    let version = "/punchgate/id/1.0.0".to_string();
    let identify = if signed {
        identify::Config::new_with_signed_peer_record(version, &key)
    } else {
        identify::Config::new(version, key.public())
    };
    let identify = (!hostile::answers_identify(fault)).then(|| identify::Behaviour::new(identify));
    let mut behaviour = Behaviour {
        identify: identify.into(),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(ping_interval)),
        stream: libp2p_stream::Behaviour::new(),
        kad: None.into(),
        mdns: None.into(),
        relay: extras.relay.map(|config| libp2p::relay::Behaviour::new(own, config)).into(),
        client: None.into(),
        dcutr: extras.dcutr.then(|| dcutr::Behaviour::new(own)).into(),
        autonat: extras.autonat.map(|config| libp2p::autonat::v1::Behaviour::new(own, config)).into(),
        autonat_client: extras.autonat_client.then(Default::default).into(),
        autonat_server: extras.autonat_server.then(Default::default).into(),
    };
    // The default closes a connection as soon as no stream is open.
    let keep = |config: libp2p::swarm::Config| config.with_idle_connection_timeout(Duration::from_secs(3600));
    let builder = SwarmBuilder::with_existing_identity(key).with_tokio();
    let mut swarm = if extras.client {
        let muxer = || hostile::Muxer::new(fault);
        let builder = builder.with_tcp(tcp::Config::default(), noise::Config::new, muxer)?;
        let builder = builder.with_relay_client(noise::Config::new, muxer)?;
        let made = builder.with_behaviour(|_, client| {
            behaviour.client = Some(client).into();
            behaviour
        })?;
        made.with_swarm_config(keep).build()
    } else if fault.is_empty() {
        let builder = builder.with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?;
        builder.with_behaviour(|_| behaviour)?.with_swarm_config(keep).build()
    } else {
        let builder = builder.with_other_transport(|key| hostile::transport(key, fault))?;
        builder.with_behaviour(|_| behaviour)?.with_swarm_config(keep).build()
    };
    hostile::answer_identify(&mut swarm.behaviour_mut().stream.new_control(), fault)?;
    Ok(swarm)
}

/// A thread of its own, as a runtime cannot be ended while it reads from stdin.
fn ended_by_stdin() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        exit(0)
    });
}

/// Offers what every listener has.
fn serve(swarm: &mut Swarm<Behaviour>) -> Result<()> {
    let mut control = swarm.behaviour().stream.new_control();
    let mut measured = control.accept(perf::PROTOCOL)?;
    tokio::spawn(async move {
        while let Some((_, stream)) = measured.next().await {
            tokio::spawn(perf::serve(stream));
        }
    });
    let mut incoming = control.accept(tunnel::PROTOCOL)?;
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            tokio::spawn(tunnel::serve(stream));
        }
    });
    Ok(())
}

async fn listen(mut key: Keypair, arguments: &[String], others: kad::Neighbours) -> Result<()> {
    let mut addr = "/ip4/127.0.0.1/tcp/0";
    let mut fault = "";
    let (signed, arguments) = match arguments.split_first() {
        Some((first, rest)) if first == "--signed-record" => (true, rest),
        _ => (false, arguments),
    };
    for pair in arguments.chunks(2) {
        if let Ok(Some(value)) = option(pair, "--addr") {
            addr = value;
        } else if let Ok(Some(value)) = option(pair, "--fault") {
            fault = hostile::names().into_iter().find(|name| *name == value).ok_or("unknown fault")?;
        } else if let Some(value) = option(pair, "--seed")? {
            if key.key_type() != KeyType::Ed25519 {
                return Err("a seed makes Ed25519 keys only".into());
            }
            let mut seed = [0; 32];
            seed[24..].copy_from_slice(&value.parse::<u64>()?.to_be_bytes());
            key = Keypair::ed25519_from_bytes(seed)?;
        }
    }
    ended_by_stdin();
    let kind = keys::name(&key);
    let mut swarm = new_swarm(key, signed, Duration::from_secs(15), fault)?;
    others.put_in(&mut swarm, Mode::Server)?;
    let peer = *swarm.local_peer_id();
    serve(&mut swarm)?;

    swarm.listen_on(addr.parse()?)?;
    let mut early = Vec::new();
    let address = loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => break address.with(Protocol::P2p(peer)),
            event => early.push(event),
        }
    };
    others.join(&mut swarm, address.clone()).await?;
    report(json!({"event": "ready", "peer": peer.to_string(), "key": kind, "addrs": [address]}));
    for event in &early {
        kad::hear(&mut swarm, event);
    }
    loop {
        let event = swarm.select_next_some().await;
        kad::hear(&mut swarm, &event);
        if let SwarmEvent::ConnectionEstablished { peer_id, .. } = event {
            eprintln!("connected to {peer_id}");
        }
    }
}

struct Dialer {
    own: PeerId,
    own_key: String,
    peer: PeerId,
    control: Control,
    /// All that there is to the peer goes through relays.
    relayed: bool,
    events: mpsc::UnboundedReceiver<SwarmEvent<BehaviourEvent>>,
}

impl Dialer {
    async fn new(addr: &str, key: Keypair) -> Result<Self> {
        Self::new_with(addr, key, "").await
    }

    async fn new_with(addr: &str, key: Keypair, fault: &'static str) -> Result<Self> {
        let addr: Multiaddr = addr.parse()?;
        let peer = relay::last_peer(&addr)?;
        let own_key = keys::name(&key);
        let extras = Extras { client: relay::is_relayed(&addr), ..Extras::default() };
        let mut swarm = swarm_of(key, false, Duration::from_millis(50), fault, extras)?;
        swarm.dial(addr)?;
        let own = *swarm.local_peer_id();
        let control = swarm.behaviour().stream.new_control();
        let (sender, events) = mpsc::unbounded_channel();
        tokio::spawn(async move { while sender.send(swarm.select_next_some().await).is_ok() {} });

        let mut dialer = Self {
            own,
            own_key,
            peer,
            control,
            relayed: false,
            events,
        };
        loop {
            match dialer.event().await? {
                // To a relay on the way there is one, too.
                SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } if peer_id == peer => {
                    dialer.relayed = endpoint.is_relayed();
                    return Ok(dialer);
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
                _ => {}
            }
        }
    }

    async fn event(&mut self) -> Result<SwarmEvent<BehaviourEvent>> {
        match self.events.recv().await.ok_or("the swarm has ended")? {
            SwarmEvent::ConnectionClosed { cause, .. } => {
                Err(format!("the connection was closed: {cause:?}").into())
            }
            SwarmEvent::ConnectionEstablished { peer_id, .. } if peer_id == self.peer && self.relayed => {
                Err("there is another connection besides the relayed one".into())
            }
            event => Ok(event),
        }
    }

    async fn ping(&mut self) -> Result<Duration> {
        loop {
            if let SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) = self.event().await?
                && ping.peer == self.peer
            {
                return Ok(ping.result?);
            }
        }
    }

    async fn pings(&mut self, count: usize) -> Result<()> {
        for seq in 0..count {
            let rtt = self.ping().await?.as_micros();
            report(json!({"event": "ping", "seq": seq, "rtt_us": rtt}));
        }
        report(json!({"event": "summary", "sent": count, "received": count, "relayed": self.relayed}));
        Ok(())
    }

    async fn identify(&mut self) -> Result<()> {
        let info = loop {
            match self.event().await? {
                SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => match event {
                    identify::Event::Received { info, peer_id, .. } if peer_id == self.peer => break info,
                    identify::Event::Error { error, peer_id, .. } if peer_id == self.peer => return Err(error.into()),
                    _ => {}
                },
                _ => {}
            }
        };
        let protocols: Vec<&str> = info.protocols.iter().map(AsRef::as_ref).collect();
        report(json!({
            "own_peer": self.own.to_string(),
            "own_key": self.own_key,
            "peer": info.public_key.to_peer_id().to_string(),
            "agent": info.agent_version,
            "protocol_version": info.protocol_version,
            "protocols": protocols,
            "listen_addrs": info.listen_addrs,
            "observed_addr": info.observed_addr,
        }));
        Ok(())
    }

    /// Sends `size` bytes and wants them back. To the end: the write half closes first, and the
    /// answer counts only with its end of stream.
    async fn exchange(&mut self, service: &str, size: usize, to_end: bool) -> Result<()> {
        let stream = tunnel::open(&mut self.control, self.peer, service).await?;
        let (mut reader, mut writer) = stream.split();
        let random = RandomState::new();
        let sent: Vec<u8> = (0..size).map(|i| random.hash_one(i) as u8).collect();

        let write = async {
            writer.write_all(&sent).await?;
            if to_end {
                writer.close().await
            } else {
                writer.flush().await
            }
        };
        let read = async {
            let mut received = vec![0; if to_end { 0 } else { size }];
            if to_end {
                reader.read_to_end(&mut received).await?;
            } else {
                reader.read_exact(&mut received).await?;
            }
            Ok(received)
        };
        let ((), received) = try_join!(write, read)?;
        if received != sent {
            let received = received.len();
            return Err(format!("sent {size} bytes, and the {received} received differ").into());
        }
        // To drop an open stream would reset it.
        Ok(writer.close().await?)
    }

    async fn reset(&mut self, service: &str) -> Result<()> {
        let mut stream = tunnel::open(&mut self.control, self.peer, service).await?;
        stream.write_all(&[0; 1000]).await?;
        stream.flush().await?;
        // To drop an open stream is how rust-libp2p resets it.
        drop(stream);
        self.exchange(service, 1000, false).await?;
        self.still_works().await?;
        report(json!({"event": "reset", "ok": true}));
        Ok(())
    }

    async fn expect_reset(&mut self, service: &str) -> Result<()> {
        let mut stream = tunnel::open(&mut self.control, self.peer, service).await?;
        stream.write_all(b"x").await?;
        stream.flush().await?;
        let how = match stream.read_to_end(&mut Vec::new()).await {
            Err(error) => error.to_string(),
            // A reset, too, reads as an end of stream here, but it alone ends the write half as well.
            Ok(_) => match stream.write(b"x").await {
                Err(error) => format!("end of stream, then on writing: {error}"),
                Ok(_) => return Err("a clean end of stream instead of a reset".into()),
            },
        };
        self.still_works().await?;
        report(json!({"event": "expect-reset", "ok": true, "how": how}));
        Ok(())
    }

    async fn perf(&mut self, up: u64, down: u64) -> Result<()> {
        perf::ask(&mut self.control, self.peer, up, down).await?;
        self.still_works().await?;
        report(json!({"event": "perf", "ok": true, "up_bytes": up, "down_bytes": down}));
        Ok(())
    }

    /// Opens so many tunnels, and echoes through all of them while all are open.
    async fn streams(&mut self, service: &str, count: usize) -> Result<()> {
        let mut open = Vec::new();
        for _ in 0..count {
            open.push(tunnel::open(&mut self.control, self.peer, service).await?);
        }
        for (i, stream) in open.iter_mut().enumerate() {
            stream.write_all(format!("{i:08}").as_bytes()).await?;
            stream.flush().await?;
        }
        for (i, stream) in open.iter_mut().enumerate() {
            let mut answer = [0; 8];
            stream.read_exact(&mut answer).await?;
            if answer != format!("{i:08}").as_bytes() {
                return Err(format!("stream {i} got something else").into());
            }
        }
        for stream in &mut open {
            stream.close().await?;
        }
        self.still_works().await?;
        report(json!({"event": "streams", "ok": true, "count": count}));
        Ok(())
    }

    /// Pings once more, and fails if the connection was closed at any time.
    async fn still_works(&mut self) -> Result<()> {
        while !self.events.is_empty() {
            self.event().await?;
        }
        self.ping().await?;
        Ok(())
    }
}
