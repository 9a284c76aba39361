//! The program in test and demo images: `toolbox <command> …`, or the command by the name that it was started with.
//!
//! Static, so that an image is this one file. It is no shell: [`SCRIPT`] words are enough for tests.

mod tar;

use std::io::{BufRead, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// Steps of `run`, in order: `run out:hello err:oops sleep:0.5 exit:3`.
const SCRIPT: &str = "out: err: raw: sleep: spin: exit: write: read: trap: wait spawn: eat:";

fn main() {
    let mut args: Vec<String> = std::env::args().collect();
    let name = Path::new(&args.remove(0)).file_name().map(|name| name.to_string_lossy().into_owned());
    let command = match name.as_deref() {
        Some("toolbox") | None if !args.is_empty() => args.remove(0),
        Some(name) => name.to_owned(),
        None => String::new(),
    };
    let code = run(&command, &args);
    std::process::exit(code);
}

fn run(command: &str, args: &[String]) -> i32 {
    let result = match command {
        "true" => return 0,
        "false" => return 1,
        "echo" => say(&args.join(" ")),
        "sleep" => {
            std::thread::sleep(Duration::from_secs_f64(
                args.first().and_then(|it| it.parse().ok()).unwrap_or(1e9),
            ));
            Ok(())
        }
        "pause" => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        "cat" if args.is_empty() => std::io::copy(&mut std::io::stdin(), &mut std::io::stdout()).map(drop),
        "cat" => args.iter().try_for_each(|path| {
            let text =
                std::fs::read(path).map_err(|error| std::io::Error::other(format!("{path}: {error}")))?;
            std::io::stdout().write_all(&text)
        }),
        "ls" => args.iter().try_for_each(|path| {
            let mut names: Vec<_> = std::fs::read_dir(path)?.flatten().map(|it| it.file_name()).collect();
            names.sort();
            names.iter().try_for_each(|name| say(&name.to_string_lossy()))
        }),
        "tar" => tar::run(args, std::io::stdin().lock(), std::io::stdout().lock()),
        "test" => match args {
            [kind, path]
                if (kind == "-d" && Path::new(path).is_dir())
                    || (kind == "-e" && Path::new(path).exists()) =>
            {
                return 0;
            }
            _ => return 1,
        },
        "env" => std::env::vars().try_for_each(|(name, value)| say(&format!("{name}={value}"))),
        "hostname" => std::fs::read_to_string("/proc/sys/kernel/hostname").and_then(|name| say(name.trim())),
        "id" => identity(),
        "run" => return script(args),
        "serve" => serve(args),
        _ => {
            eprintln!("toolbox: no command {command:?}; for `run` the steps are {SCRIPT}");
            return 127;
        }
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{command}: {error}");
            1
        }
    }
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// Who the process is, and what it may do.
fn identity() -> std::io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let wanted = ["Uid:", "Gid:", "Groups:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:"];
    status.lines().filter(|line| wanted.iter().any(|key| line.starts_with(key))).try_for_each(say)
}

static SIGNAL: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: libc::c_int) {
    SIGNAL.store(signal, Ordering::SeqCst);
}

fn script(steps: &[String]) -> i32 {
    for step in steps {
        let (verb, value) = step.split_once(':').unwrap_or((step, ""));
        let done = match verb {
            "out" => say(value),
            "err" => writeln!(std::io::stderr(), "{value}"),
            "raw" => std::io::stdout().write_all(value.as_bytes()).and_then(|()| std::io::stdout().flush()),
            "sleep" => {
                std::thread::sleep(Duration::from_secs_f64(value.parse().unwrap_or(0.0)));
                Ok(())
            }
            // As busy as one processor can be, for that many seconds.
            "spin" => {
                let (since, lasts) = (Instant::now(), Duration::from_secs_f64(value.parse().unwrap_or(1.0)));
                while since.elapsed() < lasts {
                    std::hint::spin_loop();
                }
                Ok(())
            }
            "exit" => return value.parse().unwrap_or(0),
            "write" => {
                let (path, text) = value.split_once('=').unwrap_or((value, ""));
                std::fs::write(path, text)
            }
            "read" => std::fs::read_to_string(value).and_then(|text| say(text.trim_end())),
            // Notes a signal instead of dying of it.
            "trap" => {
                let number = value.parse().unwrap_or(libc::SIGTERM);
                // SAFETY: the handler only stores to an atomic.
                unsafe { libc::signal(number, note as *const () as libc::sighandler_t) };
                Ok(())
            }
            "wait" => {
                while SIGNAL.load(Ordering::SeqCst) == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
                say(&format!("signal {}", SIGNAL.load(Ordering::SeqCst)))
            }
            // A child that holds on to stdout and sleeps.
            "spawn" => std::process::Command::new("/proc/self/exe").args(["sleep", value]).spawn().map(drop),
            "eat" => eat(value.parse().unwrap_or(1)),
            _ => {
                eprintln!("toolbox: no step {step:?}; there are {SCRIPT}");
                return 127;
            }
        };
        if let Err(error) = done {
            eprintln!("{step}: {error}");
            return 1;
        }
    }
    0
}

/// Uses that many MiB of memory.
fn eat(mebibytes: usize) -> std::io::Result<()> {
    let mut kept = Vec::new();
    for round in 0..mebibytes {
        kept.push(vec![round as u8 | 1; 1 << 20]);
    }
    std::hint::black_box(&kept);
    say(&format!("ate {mebibytes} MiB"))
}

/// A web server: `serve <port> [<folder>]`. Without a folder it answers with the host's name.
fn serve(args: &[String]) -> std::io::Result<()> {
    let port: u16 = args.first().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let folder = args.get(1).cloned();
    let listener = TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)))?;
    say(&format!("listening on {port}"))?;
    for stream in listener.incoming().flatten() {
        let folder = folder.clone();
        std::thread::spawn(move || {
            let _ = answer(stream, folder.as_deref());
        });
    }
    Ok(())
}

fn answer(stream: std::net::TcpStream, folder: Option<&str>) -> std::io::Result<()> {
    let mut lines = std::io::BufReader::new(stream.try_clone()?.take(64 << 10)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or("/").split('?').next().unwrap_or("/").to_owned();
    let (status, body) = match folder {
        _ if path.split('/').any(|part| part == "..") => ("400 Bad Request", b"bad path\n".to_vec()),
        None => ("200 OK", std::fs::read("/proc/sys/kernel/hostname")?),
        Some(folder) => {
            let path = if path.ends_with('/') { format!("{path}index.html") } else { path };
            match std::fs::read(format!("{folder}{path}")) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", b"not found\n".to_vec()),
            }
        }
    };
    let mut stream = stream;
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}
