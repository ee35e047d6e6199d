//! The servers that are compared, each with its own configuration, as well as it can be had for this.

use std::net::SocketAddr;
use std::path::Path;

use super::house::certificate::Certificate;
use super::house::process::{self, Process};

/// One of the servers.
pub struct Kind {
    pub name: &'static str,
    /// How many times as much CPU time as the outpost it is meant to need, at least.
    pub goal: Option<f64>,
    /// A file, or what to look for where programs are; this program when there is none.
    program: Option<&'static str>,
    /// Separated by blanks; here and in the configuration, `@…@` stands for what is only known when it starts.
    arguments: &'static str,
    /// A file beside this one. It is read when the server starts, so that another setting can be tried at once.
    configuration: Option<&'static str>,
    /// What stands for `@TLS@` when it is to speak it.
    tls: Option<&'static str>,
}

/// In the order in which they are shown: the ceiling, ours, the others.
pub const KINDS: [Kind; 7] = [
    Kind {
        name: "bare hyper",
        goal: None,
        program: None,
        arguments: "bare @ADDRESS@ @BODY@ @TLS@",
        configuration: None,
        tls: Some("@FOLDER@"),
    },
    Kind {
        name: "outpost",
        goal: None,
        program: Some(env!("CARGO_BIN_EXE_outpost")),
        arguments: "run --config @CONFIGURATION@",
        configuration: Some("outpost.yaml"),
        tls: Some("tls: { certificate: @FOLDER@/certificate.pem, key: @FOLDER@/key.pem }"),
    },
    Kind {
        name: "nginx",
        goal: Some(2.0),
        program: Some("nginx"),
        arguments: "-p @FOLDER@ -e stderr -c @CONFIGURATION@",
        configuration: Some("nginx.conf"),
        tls: Some("ssl"),
    },
    Kind {
        name: "nginx as packaged",
        goal: Some(2.0),
        program: Some("nginx"),
        arguments: "-p @FOLDER@ -e stderr -c @CONFIGURATION@",
        configuration: Some("nginx-packaged.conf"),
        tls: Some("ssl"),
    },
    Kind {
        name: "haproxy",
        goal: Some(1.3),
        program: Some("haproxy"),
        arguments: "-db -q -f @CONFIGURATION@",
        configuration: Some("haproxy.cfg"),
        tls: Some("ssl crt @FOLDER@/both.pem"),
    },
    Kind {
        name: "varnish",
        goal: Some(3.0),
        program: Some("varnishd"),
        // A thread for every connection, and nothing of a hit in the log that it keeps in memory.
        arguments: "-F -j none -n @FOLDER@/work -a @ADDRESS@ -f @CONFIGURATION@ -s malloc,1g -T none \
            -p thread_pools=1 -p thread_pool_min=64 -p thread_pool_max=200 -p timeout_idle=3600 -p http_gzip_support=off \
            -p vsl_mask=-Begin,-End,-ReqStart,-ReqMethod,-ReqURL,-ReqProtocol,-ReqHeader,-ReqUnset,-ReqAcct,-Hit,-Link,\
            -RespProtocol,-RespStatus,-RespReason,-RespHeader,-RespUnset,-VCL_call,-VCL_return,-VCL_use,-Timestamp,-Filters",
        configuration: Some("varnish.vcl"),
        tls: None,
    },
    Kind {
        name: "varnish as packaged",
        goal: Some(3.0),
        program: Some("varnishd"),
        // What the unit of Debian's package says; but a client may stay, and bodies are not unpacked each time.
        arguments: "-F -j none -n @FOLDER@/work -a @ADDRESS@ -f @CONFIGURATION@ -s malloc,256m -T none \
            -p timeout_idle=3600 -p http_gzip_support=off",
        configuration: Some("varnish.vcl"),
        tls: None,
    },
];

/// Files that a server needs beside those that it caches.
const OTHER_FILES: usize = 500;

/// With which certificate, and whether at all.
pub struct Encryption {
    pub certificate: Certificate,
    pub is_on: bool,
}

/// What became of the wish to start a server.
pub enum Start {
    Running(Process),
    /// It cannot take part, and why.
    LeftOut(&'static str),
}

impl Kind {
    /// Whether it answers anything with the same.
    pub fn is_ceiling(&self) -> bool {
        self.program.is_none()
    }

    /// Starts it before a registry. `body` is how long its answers will be.
    pub fn start(&self, registry: SocketAddr, body: usize, encryption: &Encryption) -> Start {
        let program = match self.program.map(process::find) {
            Some(Some(program)) => program,
            Some(None) => return Start::LeftOut("apt-get install nginx haproxy varnish"),
            None => std::env::current_exe().expect("a path"),
        };
        let folder = process::folder();
        // nginx reads it without being told to use it.
        encryption.certificate.write(folder.path());
        let tls = match (encryption.is_on, self.tls) {
            (false, _) => "",
            (true, Some(tls)) => tls,
            (true, None) => return Start::LeftOut("it does not speak TLS"),
        };
        // The outpost tells by the name how to read it; to the others names mean nothing.
        let configuration = folder.path().join("configuration.yaml");
        let (address, admin) = (process::free_port(), process::free_port());
        let known = [
            ("@TLS@", tls.to_owned()),
            ("@FOLDER@", folder.path().display().to_string()),
            ("@CONFIGURATION@", configuration.display().to_string()),
            ("@ADDRESS@", address.to_string()),
            ("@ADMIN@", admin.to_string()),
            ("@REGISTRY@", registry.to_string()),
            ("@BODY@", body.to_string()),
            ("@FILES@", process::most_files().min(65_536).to_string()),
            ("@CACHED_FILES@", (process::most_files().min(65_536) - OTHER_FILES).to_string()),
        ];
        let fill = |text: &str| known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        if let Some(name) = self.configuration {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name);
            let text = std::fs::read_to_string(file).expect("a configuration beside the sources");
            std::fs::write(configuration, fill(&text)).expect("a writable folder");
        }
        let arguments: Vec<String> =
            self.arguments.split_whitespace().map(fill).filter(|word| !word.is_empty()).collect();
        let process = Process::start(&program, &arguments, folder, address);
        if self.name == "outpost" {
            super::house::outpost::import(admin);
        }
        Start::Running(process)
    }
}
