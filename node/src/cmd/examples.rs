//! Two examples and the exit codes of each command, for its help page. A test beside `main` walks the tree and parses each.

/// Of `plantaod`.
pub const ROOT: &str = "Examples:
  plantaod demo                                     a whole network on this machine, until Ctrl-C
  plantaod run --config /etc/plantao/plantaod.toml  one node
Exit codes: 0 done, 1 failed, 2 usage or configuration, 9 damage found, 10 a goal was not met";

/// Of `plantaod run`.
pub const RUN: &str = "Examples:
  plantaod run --config /etc/plantao/plantaod.toml
  plantaod run --config centro/plantaod.toml --set raft.timers=lan --set log.level=debug
Exit codes: 0 told to stop, and did; 1 it cannot go on safely, a supervisor starts it again; 2 usage or configuration";

/// Of `plantaod init`.
pub const INIT: &str = "Examples:
  plantaod init --cluster estetica-sul --recovery-file papel.txt
  plantaod init --config centro/plantaod.toml --cluster estetica-sul --recovery-file /run/papel.txt
Exit codes: 0 done, 1 failed, 2 usage or configuration";

/// Of `plantaod join`.
pub const JOIN: &str = "Examples:
  plantaod join --peer centro.example:7402 --token-file token --certificate new.crt --key new.key
  plantaod join --peer cofre.example:7402 --token-file token --certificate new.crt --key new.key --recovery-file papel.txt
Exit codes: 0 done, 1 refused or failed, 2 usage or configuration";

/// Of `plantaod check-config`.
pub const CHECK_CONFIG: &str = "Examples:
  plantaod check-config --config /etc/plantao/plantaod.toml
  plantaod check-config --reference
Exit codes: 0 in order, 2 every fault was told";

/// Of `plantaod probe`.
pub const PROBE: &str = "Examples:
  plantaod probe --config /etc/plantao/plantaod.toml
  plantaod probe --leader --set listen.metrics=127.0.0.1:7403
Exit codes: 0 it runs, 1 it does not answer as it must, 2 usage or configuration";

/// Of `plantaod inspect`.
pub const INSPECT: &str = "Examples:
  plantaod inspect --config /etc/plantao/plantaod.toml
  plantaod inspect --config cofre/plantaod.toml -o json
Exit codes: 0 done, 1 failed, 2 usage or configuration";

/// Of `plantaod verify`.
pub const VERIFY: &str = "Examples:
  plantaod verify --config /etc/plantao/plantaod.toml
  plantaod verify --config cofre/plantaod.toml -o json
Exit codes: 0 whole, 1 failed, 2 usage or configuration, 9 damage found";

/// Of `plantaod log-copies`.
pub const LOG_COPIES: &str = "Examples:
  plantaod log-copies centro.json jardins.json cofre.json
  plantaod log-copies -o json centro.json jardins.json cofre.json
Exit codes: 0 each entry is whole somewhere, 1 failed, 2 usage, 9 an entry is whole nowhere";

/// Of `plantaod extract`.
pub const EXTRACT: &str = "Examples:
  plantaod extract --config cofre/plantaod.toml --recovery-file papel.txt --out documentos
  plantaod extract --recovery-file /run/papel.txt --out /srv/documentos --set node.data_dir=/mnt/cofre
Exit codes: 0 done, 1 failed, 2 usage or configuration";

/// Of `plantaod unseal`.
pub const UNSEAL: &str = "Examples:
  plantaod unseal --config centro/plantaod.toml --recovery-file papel.txt
  plantaod unseal --config /etc/plantao/plantaod.toml --recovery-file /media/cofre/papel.txt
Exit codes: 0 done, 1 failed, 2 usage or configuration";

/// Of `plantaod quorum`.
pub const QUORUM: &str = "Examples:
  plantaod quorum show --config cofre/plantaod.toml
  plantaod quorum recover --config cofre/plantaod.toml --keep cofre
Exit codes: 0 done, 1 refused or failed, 2 not confirmed, usage or configuration";

/// Of `plantaod quorum show`.
pub const QUORUM_SHOW: &str = "Examples:
  plantaod quorum show --config cofre/plantaod.toml
  plantaod quorum show --config cofre/plantaod.toml --against jardins.json -o json
Exit codes: 0 done, 1 failed, 2 usage or configuration";

/// Of `plantaod quorum recover`.
pub const QUORUM_RECOVER: &str = "Examples:
  plantaod quorum recover --config cofre/plantaod.toml --keep cofre
  plantaod quorum recover --config cofre/plantaod.toml --keep cofre --confirm estetica-sul --reason \"fire in both units\"
Exit codes: 0 done, 1 refused or failed, 2 not confirmed, usage or configuration";

/// Of `plantaod demo`.
pub const DEMO: &str = "Examples:
  plantaod demo --dir demonstracao
  plantaod demo --once --json figures.json
Exit codes: 0 done and all held, 1 failed, 2 usage, 10 a goal was not met, 130 interrupted";

/// Of `plantaod completion`.
pub const COMPLETION: &str = "Examples:
  plantaod completion bash
  plantaod completion fish
Exit codes: 0 done, 1 failed, 2 usage";

/// Of `plantaod man`.
pub const MAN: &str = "Examples:
  plantaod man --out /usr/local/share/man/man1
  plantaod man --out man --force
Exit codes: 0 done, 1 failed, 2 usage";
