//! `fieldbook-demo [--once]`: one visit, two phones, one supervisor; ends with status 0 only if everything held.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Instant;

use fieldbook_tests::demo::{people, report, secrets, stage::Failure, story};

fn heading(text: &str) {
    println!("\n== {text}");
}

async fn play(folder: &std::path::Path) -> Result<(story::Cast, story::Checks), Failure> {
    let mut checks = story::Checks::new();
    heading("One county, two townships, three phones, one supervisor (separate processes)");
    let cast = story::set_up(folder).await?;
    println!("  server on https://{}  ·  泽库县总工会 > 泽曲镇工会, 麦秀镇工会", cast.server.address);
    story::before(&cast).await?;

    heading("Three days without a network: all work goes on");
    story::offline(&cast).await?;
    for phone in &cast.phones {
        println!("  {}: {}", phone.user, report::status(&phone.run(&["status"]).await?));
    }

    heading("At the township: 60 kbit/s, 600 ms round trip, and the first phone's line breaks in the middle");
    let measured = story::sync_over_the_bad_line(&cast).await?;
    println!("{}", report::costs(&measured));
    checks.hold("the line broke once, and everything went on", measured[0].line.cuts == 1);
    println!("  then both fetch what the other left:");
    let measured = story::sync_again(&cast).await?;
    println!("{}", report::costs(&measured));

    heading("What the supervisor sees, by HTTP API alone");
    let supervisor = story::supervise(&cast, &mut checks).await?;
    story::correct(&cast, &mut checks).await?;
    story::approve(&supervisor, &mut checks).await?;
    checks.hold("the console is in the server", supervisor.console().await?.contains("<script"));

    heading("The phones after their next sync");
    let measured = story::sync_again(&cast).await?;
    println!("{}", report::costs(&measured));
    story::afterwards(&cast, &mut checks).await?;

    heading("A phone is found on the road");
    let family = &people::HEADS[0];
    for phone in &cast.phones {
        let found = secrets::files_with(&phone.home, &[family.0, &family.id_no()])?;
        checks.hold(&format!("{}'s folder shows neither name nor ID number", phone.user), found.is_empty());
    }
    Ok((cast, checks))
}

fn end(cast: story::Cast, checks: &story::Checks, once: bool, folder: std::path::PathBuf) -> ExitCode {
    let failed = checks.failed();
    if !failed.is_empty() {
        println!("\nDid not hold: {}", failed.join("; "));
        return ExitCode::FAILURE;
    }
    println!("\nEverything held.");
    if once {
        drop(cast);
        let _ = std::fs::remove_dir_all(folder);
        return ExitCode::SUCCESS;
    }
    println!("\nThe console, with all that happened here: https://{}/", cast.server.address);
    println!("  login {}   password {}", cast.login.0, cast.login.1);
    println!("  (The browser warns of the certificate: it is the server's own, root pin {}.)", cast.server.pin);
    println!("Data: {}", folder.display());
    let process = cast.server.leave_running();
    println!("End it with: kill {process}");
    ExitCode::SUCCESS
}

#[tokio::main]
async fn main() -> ExitCode {
    let once = std::env::args().any(|argument| argument == "--once")
        || std::env::var_os("ONCE").is_some()
        || !std::io::stdout().is_terminal();
    let folder = std::env::temp_dir().join(format!("fieldbook-demo-{}", std::process::id()));
    if let Err(error) = std::fs::create_dir_all(&folder) {
        eprintln!("{}: {error}", folder.display());
        return ExitCode::FAILURE;
    }
    let start = Instant::now();
    let played = play(&folder).await;
    println!("\n({:.0} s)", start.elapsed().as_secs_f64());
    match played {
        Ok((cast, checks)) => end(cast, &checks, once, folder),
        Err(error) => {
            eprintln!("\nThe demo failed: {error}\n(its data stays in {})", folder.display());
            ExitCode::FAILURE
        }
    }
}
