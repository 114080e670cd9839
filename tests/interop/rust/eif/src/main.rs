//! Eif makes, signs and reads enclave images with AWS's own crate, for the tests that
//! hold our reader against it.
//!
//! Usage:
//!
//!   - eif build IMAGE FLAGS KERNEL CMDLINE CERTIFICATE KEY RAMDISK...
//!     makes an image; CERTIFICATE and KEY are `-` for one that is not signed
//!   - eif sign IMAGE CERTIFICATE KEY
//!     signs one in place, as `nitro-cli sign-eif` does
//!   - eif describe IMAGE
//!     says what its reader finds
//!
//! Each prints what it knows as JSON; whatever goes wrong ends in a panic and status 101.

use std::fs::OpenOptions;
use std::path::Path;

use aws_nitro_enclaves_image_format::defs::{EifBuildInfo, EifIdentityInfo};
use aws_nitro_enclaves_image_format::utils::eif_reader::EifReader;
use aws_nitro_enclaves_image_format::utils::{
    EifBuilder, EifSigner, PcrSignatureChecker, SignKeyData,
};
use serde_json::{json, Value};
use sha2::{Digest, Sha384};

fn metadata() -> EifIdentityInfo {
    EifIdentityInfo {
        img_name: "wallet".to_string(),
        img_version: "1.4.2".to_string(),
        build_info: EifBuildInfo {
            build_time: "2026-11-23T07:00:00+00:00".to_string(),
            build_tool: "eif".to_string(),
            build_tool_version: "0.0.0".to_string(),
            img_os: "Linux".to_string(),
            img_kernel: "6.1".to_string(),
        },
        docker_info: json!({"Os": "linux", "Size": 12}),
        custom_info: json!({"Team": "wallets"}),
    }
}

fn key(certificate: &str, key: &str) -> Option<SignKeyData> {
    if certificate == "-" {
        return None;
    }
    Some(SignKeyData::new(key, Path::new(certificate)).unwrap())
}

fn build(words: &[String]) -> Value {
    let [image, flags, kernel, cmdline, certificate, secret, ramdisks @ ..] = words else {
        panic!("build IMAGE FLAGS KERNEL CMDLINE CERTIFICATE KEY RAMDISK...");
    };
    let mut builder = EifBuilder::new(
        Path::new(kernel),
        cmdline.clone(),
        key(certificate, secret),
        Sha384::new(),
        flags.parse().unwrap(),
        metadata(),
    );
    for ramdisk in ramdisks {
        builder.add_ramdisk(Path::new(ramdisk));
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(image)
        .unwrap();
    json!({"Measurements": builder.write_to(&mut file)})
}

fn sign(words: &[String]) -> Value {
    let [image, certificate, secret] = words else {
        panic!("sign IMAGE CERTIFICATE KEY");
    };
    let signer = EifSigner::new(key(certificate, secret)).unwrap();
    signer.sign_image(image).unwrap();
    json!({})
}

fn describe(words: &[String]) -> Value {
    let [image] = words else {
        panic!("describe IMAGE");
    };
    let mut reader = EifReader::from_eif(image.clone()).unwrap();
    let measurements = reader.get_measurements().unwrap();
    let certificate = match reader.signature_section {
        None => Value::Null,
        Some(_) => {
            PcrSignatureChecker::from_eif(image).unwrap().verify().unwrap();
            json!(reader.get_certificate_info(measurements.clone()).unwrap())
        }
    };
    json!({
        "EifVersion": reader.get_header().version,
        "Measurements": measurements,
        "IsSigned": reader.signature_section.is_some(),
        "SigningCertificate": certificate,
        "CheckCRC": reader.check_crc(),
        "SignatureCheck": reader.sign_check,
        "Metadata": reader.get_metadata(),
    })
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = words.split_first().expect("build, sign or describe");
    let said = match command.as_str() {
        "build" => build(rest),
        "sign" => sign(rest),
        "describe" => describe(rest),
        _ => panic!("build, sign or describe"),
    };
    println!("{said}");
}
