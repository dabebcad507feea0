//! The key of the identity.

use std::process::Command;

use libp2p::identity::{Keypair, rsa};

use crate::Result;

/// Takes `--key TYPE` out of the arguments and makes such a key.
pub fn take(arguments: &mut Vec<String>) -> Result<Keypair> {
    let Some(at) = arguments.iter().position(|argument| argument == "--key") else {
        return Ok(Keypair::generate_ed25519());
    };
    if at + 1 == arguments.len() {
        return Err("--key wants a type".into());
    }
    match arguments.drain(at..at + 2).nth(1).unwrap_or_default().as_str() {
        "ed25519" => Ok(Keypair::generate_ed25519()),
        "secp256k1" => Ok(Keypair::generate_secp256k1()),
        "ecdsa" => Ok(Keypair::generate_ecdsa()),
        "rsa" => new_rsa(),
        other => Err(format!("unknown key type: {other}").into()),
    }
}

pub fn name(key: &Keypair) -> String {
    key.key_type().to_string()
}

/// rust-libp2p signs with RSA keys, but makes none.
fn new_rsa() -> Result<Keypair> {
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-outform", "DER"])
        .args(["-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .map_err(|error| format!("openssl, which makes RSA keys here: {error}"))?;
    if !made.status.success() {
        let why = String::from_utf8_lossy(&made.stderr);
        return Err(format!("openssl made no RSA key: {}", why.trim()).into());
    }
    let mut der = made.stdout;
    Ok(rsa::Keypair::try_decode_pkcs1(&mut der)?.into())
}
