//! Relays: to be one, to be reached through one, and how a relayed connection comes to be a direct one.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, dcutr, identify,
    identity::Keypair,
    multiaddr::Protocol,
    ping, relay,
    swarm::{ConnectionId, SwarmEvent},
};
use serde_json::json;

use crate::{Behaviour, BehaviourEvent, EXIT_DEADLINE, Extras, Result, ended_by_stdin, fail, keys, new_swarm_with, report, serve};

/// The options of this file's commands, and of autonat's.
#[derive(Clone)]
pub struct Options {
    pub addr: Multiaddr,
    pub version: u32,
    pub ask: Option<Multiaddr>,
    circuit_bytes: u64,
    circuit_time: u64,
    reservation_time: u64,
    reservations: usize,
    dcutr: bool,
    wait_direct: bool,
    timeout: u64,
    pub fault: String,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            addr: "/ip4/127.0.0.1/tcp/0".parse()?,
            version: 2,
            ask: None,
            circuit_bytes: 1 << 17,
            circuit_time: 120,
            reservation_time: 3600,
            reservations: 1024,
            dcutr: false,
            wait_direct: false,
            timeout: 20,
            fault: String::new(),
        };
        let mut given = arguments.iter();
        while let Some(name) = given.next() {
            let mut value = || given.next().ok_or(format!("{name} wants a value"));
            match name.as_str() {
                "--addr" => options.addr = value()?.parse()?,
                "--version" => options.version = value()?.parse()?,
                "--ask" => options.ask = Some(value()?.parse()?),
                "--circuit-bytes" => options.circuit_bytes = value()?.parse()?,
                "--circuit-time" => options.circuit_time = value()?.parse()?,
                "--reservation-time" => options.reservation_time = value()?.parse()?,
                "--reservations" => options.reservations = value()?.parse()?,
                "--dcutr" => options.dcutr = true,
                "--wait-direct" => options.wait_direct = true,
                "--fault" => options.fault = value()?.clone(),
                "--timeout" => options.timeout = value()?.parse()?,
                _ => return Err(format!("unexpected argument: {name}").into()),
            }
        }
        Ok(options)
    }
}

pub fn is_relayed(addr: &Multiaddr) -> bool {
    addr.iter().any(|part| part == Protocol::P2pCircuit)
}

pub fn last_peer(addr: &Multiaddr) -> Result<PeerId> {
    match addr.iter().last() {
        Some(Protocol::P2p(peer)) => Ok(peer),
        _ => Err("the address does not end in /p2p/ID".into()),
    }
}

/// Listens at the address; answers it with the peer's id behind.
pub async fn listening(swarm: &mut Swarm<Behaviour>, addr: Multiaddr) -> Result<Multiaddr> {
    let peer = *swarm.local_peer_id();
    let listener = swarm.listen_on(addr)?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } if address.iter().last() == Some(Protocol::P2p(peer)) => return Ok(address),
            SwarmEvent::NewListenAddr { address, .. } => return Ok(address.with(Protocol::P2p(peer))),
            SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == listener => {
                return Err(format!("the listener has ended: {reason:?}").into());
            }
            _ => {}
        }
    }
}

pub async fn relay(key: Keypair, options: Options) -> Result<()> {
    ended_by_stdin();
    let kind = keys::name(&key);
    let config = relay::Config {
        max_reservations: options.reservations,
        max_reservations_per_peer: 4,
        reservation_duration: Duration::from_secs(options.reservation_time),
        reservation_rate_limiters: Vec::new(),
        max_circuits: 1024,
        max_circuits_per_peer: 128,
        max_circuit_duration: Duration::from_secs(options.circuit_time),
        max_circuit_bytes: options.circuit_bytes,
        circuit_src_rate_limiters: Vec::new(),
    };
    let mut swarm = new_swarm_with(key, &options.fault, Extras { relay: Some(config), ..Extras::default() })?;
    serve(&mut swarm)?;
    let address = listening(&mut swarm, options.addr).await?;
    // Without it the reservations that it gives have no address.
    swarm.add_external_address(address.clone());
    report(json!({"event": "ready", "peer": swarm.local_peer_id().to_string(), "key": kind, "addrs": [address]}));
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(BehaviourEvent::Relay(event)) => eprintln!("{event:?}"),
            SwarmEvent::ConnectionEstablished { peer_id, .. } => eprintln!("connected to {peer_id}"),
            _ => {}
        }
    }
}

/// Connects to the relay, and waits until each of the two knows how the other sees it.
async fn meet(swarm: &mut Swarm<Behaviour>, relay: &Multiaddr) -> Result<()> {
    let peer = last_peer(relay)?;
    swarm.dial(relay.clone())?;
    let (mut heard, mut told) = (false, false);
    while !(heard && told) {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, .. })) if peer_id == peer => heard = true,
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Sent { peer_id, .. })) if peer_id == peer => told = true,
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(format!("connecting to the relay: {error}").into()),
            _ => {}
        }
    }
    Ok(())
}

/// What a swarm does to reach its peers directly.
#[derive(Default)]
struct Watch {
    relayed: HashMap<PeerId, Instant>,
    attempts: HashMap<PeerId, u32>,
}

impl Watch {
    /// Reports what the event tells; answers a connection that is new and direct.
    fn see(&mut self, event: &SwarmEvent<BehaviourEvent>, relay: Option<PeerId>) -> Option<(PeerId, ConnectionId)> {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } if Some(*peer_id) != relay => {
                let peer = peer_id.to_string();
                let remote = endpoint.get_remote_address();
                if endpoint.is_relayed() {
                    self.relayed.insert(*peer_id, Instant::now());
                    self.attempts.insert(*peer_id, 0);
                    report(json!({"event": "relayed", "peer": peer, "addr": remote}));
                    return None;
                }
                if let Some(since) = self.relayed.get(peer_id) {
                    let attempts = self.attempts[peer_id];
                    report(json!({"event": "direct", "peer": peer, "addr": remote, "ms": milliseconds(since.elapsed()), "attempts": attempts}));
                }
                return Some((*peer_id, *connection_id));
            }
            SwarmEvent::Dialing { peer_id: Some(peer), .. } => {
                if let Some(attempts) = self.attempts.get_mut(peer) {
                    *attempts += 1;
                    report(json!({"event": "punch", "peer": peer.to_string(), "attempt": attempts}));
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } if self.relayed.contains_key(peer) => {
                report(json!({"event": "punch-failed", "peer": peer.to_string(), "reason": error.to_string()}));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Dcutr(dcutr::Event { remote_peer_id, result: Err(error) })) => {
                report(json!({"event": "punch-failed", "peer": remote_peer_id.to_string(), "reason": error.to_string()}));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Client(relay::client::Event::ReservationReqAccepted { renewal, .. })) => {
                report(json!({"event": "reservation", "ok": true, "renewal": renewal}));
            }
            _ => {}
        }
        None
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

pub async fn reserve(key: Keypair, relay: &str, options: Options) -> Result<()> {
    ended_by_stdin();
    let relay: Multiaddr = relay.parse()?;
    let relay_peer = last_peer(&relay)?;
    let kind = keys::name(&key);
    let mut swarm = new_swarm_with(key, &options.fault, Extras { client: true, dcutr: options.dcutr, ..Extras::default() })?;
    serve(&mut swarm)?;
    listening(&mut swarm, options.addr).await?;
    meet(&mut swarm, &relay).await?;
    let through = relay.with(Protocol::P2pCircuit);
    let mut address = None;
    let mut accepted = None;
    swarm.listen_on(through.clone())?;
    while address.is_none() || accepted.is_none() {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address: new, .. } if is_relayed(&new) => address = Some(new),
            SwarmEvent::Behaviour(BehaviourEvent::Client(relay::client::Event::ReservationReqAccepted { limit, .. })) => accepted = Some(limit),
            SwarmEvent::ListenerClosed { reason, .. } => return Err(format!("no reservation: {reason:?}").into()),
            _ => {}
        }
    }
    let limit = accepted.flatten();
    report(json!({
        "event": "ready", "peer": swarm.local_peer_id().to_string(), "key": kind, "addrs": [address],
        "limit_bytes": limit.as_ref().and_then(|l| l.data_in_bytes()).unwrap_or(0),
        "limit_seconds": limit.as_ref().and_then(|l| l.duration()).map_or(0, |d| d.as_secs()),
    }));
    let mut watch = Watch::default();
    loop {
        let event = swarm.select_next_some().await;
        watch.see(&event, Some(relay_peer));
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => eprintln!("connected to {peer_id}"),
            // The relay is gone, or has refused: again, as long as it takes.
            SwarmEvent::ListenerClosed { reason, .. } => {
                report(json!({"event": "reservation", "ok": false, "reason": format!("{reason:?}")}));
                tokio::time::sleep(Duration::from_secs(1)).await;
                swarm.listen_on(through.clone())?;
            }
            _ => {}
        }
    }
}

/// Dials, through a relay if the address says so, and then waits for a direct connection that answers a ping.
pub async fn path(key: Keypair, addr: &str, options: Options) -> Result<()> {
    let addr: Multiaddr = addr.parse()?;
    let peer = last_peer(&addr)?;
    let mut swarm = new_swarm_with(key, &options.fault, Extras { client: true, dcutr: true, ..Extras::default() })?;
    serve(&mut swarm)?;
    listening(&mut swarm, options.addr.clone()).await?;
    let relay: Multiaddr = addr.iter().take_while(|part| *part != Protocol::P2pCircuit).collect();
    let through = is_relayed(&addr);
    let relay_peer = through.then(|| last_peer(&relay)).transpose()?;
    if through {
        meet(&mut swarm, &relay).await?;
    }
    let patience = Duration::from_secs(options.timeout);
    let mut watch = Watch::default();
    swarm.dial(addr)?;
    let reached = tokio::time::timeout(patience, reach(&mut swarm, peer, relay_peer, &mut watch, through && !options.wait_direct)).await;
    match reached {
        Ok(result) => result,
        Err(_) => {
            report(json!({"event": "path", "direct": false}));
            fail(EXIT_DEADLINE, format!("no direct connection within {patience:?}"))
        }
    }
}

async fn reach(swarm: &mut Swarm<Behaviour>, peer: PeerId, relay: Option<PeerId>, watch: &mut Watch, relayed_is_enough: bool) -> Result<()> {
    let start = Instant::now();
    let mut direct = Vec::new();
    loop {
        let event = swarm.select_next_some().await;
        if let Some((whose, connection)) = watch.see(&event, relay)
            && whose == peer
        {
            direct.push(connection);
        }
        match event {
            SwarmEvent::OutgoingConnectionError { error, .. } if watch.relayed.is_empty() => return Err(format!("connecting: {error}").into()),
            // The first ping of a connection is at once.
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer: who, connection, result: Ok(_) })) if who == peer => {
                if direct.contains(&connection) {
                    let since = watch.relayed.get(&peer).copied().unwrap_or(start);
                    let attempts = watch.attempts.get(&peer).copied().unwrap_or(0);
                    report(json!({"event": "path", "direct": true, "direct_ms": milliseconds(since.elapsed()), "attempts": attempts}));
                    return Ok(());
                }
                if relayed_is_enough {
                    report(json!({"event": "path", "direct": false}));
                    return Ok(());
                }
            }
            _ => {}
        }
    }
}
