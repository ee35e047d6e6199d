//! The servers that are compared, each with its own configuration, as well as it can be had for this.

use std::net::SocketAddr;

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
    configuration: &'static str,
}

/// In the order in which they are shown: the ceiling, ours, the others.
pub const KINDS: [Kind; 5] = [
    Kind { name: "bare hyper", goal: None, program: None, arguments: "bare @ADDRESS@ @BODY@", configuration: "" },
    Kind {
        name: "outpost",
        goal: None,
        program: Some(env!("CARGO_BIN_EXE_outpost")),
        arguments: "run --config @CONFIGURATION@",
        configuration: include_str!("outpost.yaml"),
    },
    Kind {
        name: "nginx",
        goal: Some(2.0),
        program: Some("nginx"),
        arguments: "-p @FOLDER@ -e stderr -c @CONFIGURATION@",
        configuration: include_str!("nginx.conf"),
    },
    Kind {
        name: "haproxy",
        goal: Some(1.3),
        program: Some("haproxy"),
        arguments: "-db -q -f @CONFIGURATION@",
        configuration: include_str!("haproxy.cfg"),
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
        configuration: include_str!("varnish.vcl"),
    },
];

/// A started server.
pub struct Server {
    pub address: SocketAddr,
    pub process: Process,
}

impl Kind {
    /// Whether it answers anything with the same.
    pub fn is_ceiling(&self) -> bool {
        self.program.is_none()
    }

    /// Starts it before a registry; none when it is not installed. `body` is how long its answers will be.
    pub fn start(&self, registry: SocketAddr, body: usize) -> Option<Server> {
        let program = match self.program {
            Some(program) => process::find(program)?,
            None => std::env::current_exe().expect("a path"),
        };
        let folder = process::folder();
        // The outpost tells by the name how to read it; to the others names mean nothing.
        let configuration = folder.path().join("configuration.yaml");
        let (address, admin) = (process::free_port(), process::free_port());
        let known = [
            ("@FOLDER@", folder.path().display().to_string()),
            ("@CONFIGURATION@", configuration.display().to_string()),
            ("@ADDRESS@", address.to_string()),
            ("@ADMIN@", admin.to_string()),
            ("@REGISTRY@", registry.to_string()),
            ("@BODY@", body.to_string()),
        ];
        let fill = |text: &str| known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        std::fs::write(configuration, fill(self.configuration)).expect("a writable folder");
        let arguments: Vec<String> = self.arguments.split_whitespace().map(fill).collect();
        let process = Process::start(&program, &arguments, folder, address);
        if self.name == "outpost" {
            super::house::outpost::import(admin);
        }
        Some(Server { address, process })
    }
}
