//! What a single node answers or warns of, 2001 to 3999: its keys, its disk, its clock, whom it reaches.

use super::{Code, theirs};

/// In order.
pub(super) static CODES: &[Code] = &[
    theirs(
        2001,
        (
            "este nó está selado: guarda o conteúdo e não pode abri-lo",
            "pergunte ao nó de uma unidade, ou dê a este a chave do seu cofre raiz",
        ),
        (
            "this node is sealed: it keeps content and cannot open it",
            "ask a unit's node, or give this node its root slot's key",
        ),
    ),
    theirs(
        2101,
        (
            "nenhum líder responde, ou este nó está atrasado demais",
            "repita em instantes, neste ou em outro nó; veja a rede: plantao status",
        ),
        (
            "no leader answers, or this node lags too far",
            "send it again in a moment, to this or another node; look: plantao status",
        ),
    ),
    theirs(
        2102,
        (
            "a cópia deste nó é mais antiga do que o permitido",
            "aceite mais atraso, pergunte a outro nó, ou leia sem --stale",
        ),
        ("this node's copy is older than allowed", "allow more, ask another node, or read without --stale"),
    ),
    theirs(
        2103,
        ("há pedidos demais em andamento", "repita depois de uma pausa curta"),
        ("too many requests are under way", "send it again after a short pause"),
    ),
    theirs(
        2104,
        ("não se sabe se o pedido terá efeito", "repita com o mesmo id de pedido: será feito no máximo uma vez"),
        (
            "it is not known whether the request takes effect",
            "send it again with the same request id: it is done at most once",
        ),
    ),
    theirs(
        2105,
        (
            "os discos da maioria dos nós estão quase cheios: nada é gravado até haver espaço",
            "libere espaço nesses nós ou ponha discos maiores; as gravações voltam sozinhas",
        ),
        (
            "the disks of a majority of the nodes are nearly full: nothing is written until there is room",
            "free space on these nodes, or give them larger disks; writes go on by themselves",
        ),
    ),
    theirs(
        2201,
        ("o diário de leituras está cheio", "restabeleça a conexão com os outros nós; a agenda segue legível"),
        ("the journal of reads is full", "restore the connection to the other nodes; the agenda is still readable"),
    ),
    theirs(
        2202,
        ("o diário de leituras não pode ser escrito", "veja o log e o disco deste nó; pergunte a outro enquanto isso"),
        ("the journal of reads cannot be written", "look at this node's log and disk; ask another node meanwhile"),
    ),
    theirs(
        2301,
        ("resta um terço ou menos da validade do certificado deste nó", "renove: plantao pki renew --nodes"),
        ("a third or less of the life of this node's certificate is left", "renew it: plantao pki renew --nodes"),
    ),
    theirs(
        2302,
        ("os novos arquivos de certificado não são usados", "corrija os arquivos; os antigos seguem valendo"),
        ("the new certificate files are not used", "correct the files; the old ones serve on"),
    ),
    theirs(
        2303,
        ("um nó não responde", "veja esse nó e a ligação até ele"),
        ("a node does not answer", "look at that node and at the link to it"),
    ),
    theirs(
        2304,
        ("um nó está atrasado", "ele alcança os outros sozinho; se não, veja a ligação até ele"),
        ("a node is behind", "it catches up by itself; look at its link if it does not"),
    ),
    theirs(
        2305,
        ("uma ligação entre dois nós está cortada", "veja a internet, a VPN e o firewall entre os dois"),
        ("a link between two nodes is cut", "look at the internet lines, the VPN and the firewall between the two"),
    ),
    theirs(
        2306,
        ("o disco de um nó está quase cheio", "libere espaço nele ou ponha um disco maior; o nó volta sozinho"),
        ("a node's disk is nearly full", "free space there, or give it a larger disk; its node goes on by itself"),
    ),
    theirs(
        2401,
        (
            "o diretório de blocos deste nó não aceita nada",
            "pergunte a outro nó; o registro deste diz o que há com o diretório",
        ),
        (
            "this node's chunk directory takes nothing",
            "ask another node; this one's log says what is wrong with its chunk directory",
        ),
    ),
    theirs(
        2402,
        (
            "o disco dos blocos deste nó está cheio",
            "libere espaço no disco de chunks.directory, ou pergunte a outro nó",
        ),
        (
            "the disk of this node's chunk directory is full",
            "free space on the disk of chunks.directory, or ask another node meanwhile",
        ),
    ),
    theirs(
        2403,
        ("há imagens demais em andamento neste nó", "envie de novo após uma pausa, ou pergunte a outro nó"),
        ("too many images are under way on this node", "send it again after a short pause, or ask another node"),
    ),
    theirs(
        2404,
        (
            "nenhuma cópia boa de uma parte da imagem está ao alcance",
            "tente de novo; `plantao copies` mostra onde estão as cópias",
        ),
        (
            "no good copy of a part of the image can be reached",
            "send it again in a moment; `plantao copies` shows where the copies are",
        ),
    ),
    theirs(
        2601,
        ("este nó não lidera", "veja quem lidera e peça a ele: plantao status"),
        ("this node does not lead", "look who leads, and ask that one: plantao status"),
    ),
    theirs(
        2602,
        ("o nó não é votante", "escolha um votante: plantao status"),
        ("the node is not a voter", "choose a voter: plantao status"),
    ),
    theirs(
        2603,
        ("o nó não responde", "veja esse nó e o enlace até ele, ou escolha outro"),
        ("the node does not answer", "look at that node and at the link to it, or choose another"),
    ),
    theirs(
        2604,
        ("o nó está atrasado", "espere ele ficar em dia, ou escolha outro"),
        ("the node is behind", "wait until it has caught up, or choose another"),
    ),
    theirs(
        2605,
        ("nenhum outro votante responde e está em dia", "traga outro votante de volta: plantao status"),
        ("no other voter is reachable and caught up", "bring another voter back: plantao status"),
    ),
    theirs(
        2606,
        ("o nó não assumiu a tempo", "veja quem lidera e tente de novo: plantao status"),
        ("the node did not take over in time", "look who leads, then try again: plantao status"),
    ),
    theirs(
        2607,
        ("a replicação deste nó parou", "veja o log deste nó; peça a outro"),
        ("replication has stopped on this node", "look at this node's log; ask another node"),
    ),
    theirs(
        2608,
        ("outro nó lidera", "olhe de novo, o plano era para outro líder: plantao status"),
        ("another node leads", "look again, the plan was for another leader: plantao status"),
    ),
    theirs(
        2609,
        ("é o último votante que não está drenado", "libere outro antes: plantao node undrain"),
        ("it is the last voter that is not drained", "undrain another one first: plantao node undrain"),
    ),
    theirs(
        2610,
        ("há um líder, e este nó o ouve", "use plantao switchover; se o líder está doente, pare-o antes e repita"),
        ("a leader is heard", "use plantao switchover; if that node is sick, stop it first, then repeat"),
    ),
    theirs(
        2611,
        ("o nó alcança votantes de menos", "traga votantes de volta ou repare os enlaces: plantao status"),
        ("the node reaches too few voters", "bring voters back or mend the links to them: plantao status"),
    ),
    theirs(
        2612,
        ("o nó não foi eleito", "escolha o votante de índice mais alto: plantao status -o wide"),
        ("the node was not elected", "choose the voter with the highest index: plantao status -o wide"),
    ),
    theirs(
        2613,
        ("o endereço é de outro nó", "corrija os endereços de administração do contexto"),
        ("the address is another node's", "correct the admin addresses of the context"),
    ),
    theirs(
        2614,
        ("o relógio do nó está errado", "acerte o relógio daquele computador (plantao doctor) ou escolha outro nó"),
        ("the node's clock is off", "set that computer's clock (plantao doctor), or choose another node"),
    ),
    theirs(
        2621,
        ("dos votantes que sobrariam, poucos respondem", "religue os que não respondem, ou tire antes o voto deles"),
        ("of the voters that would be left too few answer", "bring the silent ones back, or take their votes first"),
    ),
    theirs(
        2622,
        ("outra mudança de membros está em andamento", "espere até terminar: plantao member diff mostra os passos"),
        ("another change of members is still under way", "wait until it is done: plantao member diff shows its steps"),
    ),
    theirs(
        2623,
        ("o nó não responde, por isso não recebe voto", "ligue o nó, ou veja o enlace até ele, e tente de novo"),
        ("the node does not answer, so it gets no vote", "start that node, or look at the link to it, and try again"),
    ),
    theirs(
        2624,
        (
            "o líder sairia, e nenhum outro votante pode assumir agora",
            "espere outro votante ficar em dia e tente de novo",
        ),
        (
            "the leader would go, and no other voter could take the lead now",
            "wait until another voter has caught up, and try again",
        ),
    ),
    theirs(
        2631,
        (
            "um nó não responde, por isso não se sabe o que o programa dele lê",
            "ligue esse nó; se não volta mais, remova-o: plantao member remove",
        ),
        (
            "a node does not answer, so it is not known what its program reads",
            "start that node; if it is gone for good, remove it: plantao member remove",
        ),
    ),
    theirs(
        2632,
        (
            "um nó roda um programa que não lê este nível de formato",
            "instale lá a versão nova e reinicie, e veja que upgrade.level_max não esteja definido: plantao upgrade status",
        ),
        (
            "a node runs a program that does not read this format level",
            "install the new version there and restart it, and see that upgrade.level_max is not set: plantao upgrade status",
        ),
    ),
    theirs(
        2641,
        (
            "uma maioria dos votantes ainda pode responder",
            "espere um líder; por que não há: plantao status --stale, plantao doctor",
        ),
        (
            "a majority of the voters may still answer",
            "wait for a leader; why there is none: plantao status --stale, plantao doctor",
        ),
    ),
    theirs(
        2642,
        ("outro sobrevivente tem mais do que este nó", "faça aquele nó seguir: plantao quorum recover --keep"),
        ("another survivor has more than this node", "let that node go on instead: plantao quorum recover --keep"),
    ),
    theirs(
        2643,
        ("foi confirmada outra rede, ou outro nó", "confira qual rede e qual nó são: plantao status --stale"),
        ("another network or node was confirmed", "check which network and node they are: plantao status --stale"),
    ),
    theirs(
        2644,
        ("o nó já recebeu esta ordem, e está parando", "acompanhe: plantao status --stale"),
        ("the node was told so already, and stops", "follow it: plantao status --stale"),
    ),
    theirs(
        2661,
        ("o certificado deste nó está revogado", "emita outro onde fica a autoridade: plantao pki issue"),
        ("this node's certificate is revoked", "issue another where the authority is kept: plantao pki issue"),
    ),
    theirs(
        2662,
        ("a lista de revogação precisa de atenção", "assine e envie outra: plantao pki crl --push"),
        ("the revocation list needs attention", "sign and send another: plantao pki crl --push"),
    ),
    theirs(
        2671,
        ("este nó não pediu certificado, ou já o recebeu", "repita: plantao pki renew --nodes"),
        ("no certificate was asked for by this node, or it was answered", "repeat: plantao pki renew --nodes"),
    ),
    theirs(
        2672,
        ("o certificado foi recusado", "assine o pedido do próprio nó com a autoridade desta rede"),
        ("the certificate is refused", "have the node's own request signed by the authority of this network"),
    ),
    theirs(
        2673,
        ("as raízes foram recusadas", "envie também a raiz dos certificados em uso: plantao pki rotate-ca start"),
        ("the roots are refused", "send the root of the certificates in use as well: plantao pki rotate-ca start"),
    ),
    theirs(
        2674,
        ("as raízes deixariam fora um nó conectado", "dê a ele um novo certificado: plantao pki rotate-ca switch"),
        ("the roots would cut off a connected node", "give it a new certificate: plantao pki rotate-ca switch"),
    ),
    theirs(
        2675,
        ("a lista de revogação foi recusada", "assine outra: plantao pki crl --push"),
        ("the revocation list is refused", "sign another: plantao pki crl --push"),
    ),
    theirs(
        2676,
        (
            "o certificado, as raízes ou a lista não puderam ser gravados",
            "o usuário do serviço precisa poder gravar no diretório dos arquivos tls; veja o log do nó",
        ),
        (
            "the certificate, roots or list cannot be written",
            "the daemon's user must be able to write the directory of the tls files; look at the node's log",
        ),
    ),
    theirs(
        3001,
        ("o estado deste nó não pode ser lido", "pergunte a outro nó; pare este e rode plantaod verify"),
        ("the state of this node cannot be read", "ask another node; stop this one and run plantaod verify"),
    ),
    theirs(
        3002,
        ("conteúdo selado não abre", "leia de outro nó e rode plantaod verify neste"),
        ("sealed content does not open", "read it from another node, and run plantaod verify on this one"),
    ),
    theirs(
        3101,
        (
            "cópias ruins de imagens foram achadas neste nó; ele as busca de novo",
            "procure erros de disco no journal do sistema; troque o disco que continua assim",
        ),
        (
            "bad copies of images were found on this node; it fetches them again",
            "look for disk errors in the system's journal; replace a disk that goes on like this",
        ),
    ),
    theirs(
        3102,
        (
            "nenhum nó tem cópia boa de partes de imagens que deviam estar aqui",
            "traga de volta os nós ausentes, com seus discos: plantao status",
        ),
        (
            "no node could give parts of images that should be here",
            "bring back the nodes that are away, with their disks: plantao status",
        ),
    ),
    theirs(
        3103,
        (
            "o diretório de imagens deste nó não pode ser usado; ele não guarda imagens",
            "veja o motivo no log do nó, corrija e inicie o nó de novo",
        ),
        (
            "the chunk directory of this node cannot be used: it keeps no images",
            "look at the node's log for the reason, mend it and start the node again",
        ),
    ),
    theirs(
        3201,
        (
            "a rede seguiu sem este nó: o diretório dele é de uma encarnação anterior",
            "ponha o diretório de lado, guarde-o e entre como nó novo: plantao token create, plantaod join",
        ),
        (
            "the network went on without this node: its directory is of an older incarnation",
            "set the directory aside, keep it, and join as a new node: plantao token create, plantaod join",
        ),
    ),
    theirs(
        3202,
        (
            "uma recuperação de quórum começou aqui e não terminou",
            "repita o mesmo plantaod quorum recover: ele continua de onde parou",
        ),
        (
            "a quorum recovery was begun here and is not finished",
            "repeat the same plantaod quorum recover: it goes on where it stopped",
        ),
    ),
    theirs(
        3203,
        ("foi confirmada outra rede", "confira qual é a máquina e a configuração; nada mudou"),
        ("another network was confirmed", "check which machine and which configuration this is; nothing was changed"),
    ),
    theirs(
        3204,
        ("os nós mantidos são maioria: nada se perdeu", "inicie esses nós; eles elegem um líder sozinhos"),
        ("the kept nodes are a majority: nothing was lost", "start these nodes: they elect a leader by themselves"),
    ),
    theirs(
        3205,
        (
            "o nó a manter não é o deste diretório",
            "escolha o sobrevivente com plantaod quorum show --against e rode o comando nele",
        ),
        (
            "the node to keep is not the one of this directory",
            "choose the survivor with plantaod quorum show --against, and run the command there",
        ),
    ),
    theirs(
        3206,
        (
            "a rede não pode seguir com este diretório",
            "veja com plantaod verify; use outro sobrevivente, ou leia o que resta com plantaod extract",
        ),
        (
            "the network cannot go on with this directory",
            "look with plantaod verify; take another survivor, or read what is left with plantaod extract",
        ),
    ),
    theirs(
        3207,
        ("uma marca do diretório de dados está danificada", "ponha o diretório de lado e entre como nó novo"),
        ("a mark of the data directory is damaged", "set the directory aside and join as a new node"),
    ),
    theirs(
        3208,
        ("uma marca do diretório de dados não pode ser lida ou escrita", "confira dono, permissões e disco, e repita"),
        ("a mark of the data directory cannot be read or written", "check owner, rights and disk, and repeat"),
    ),
    theirs(
        3209,
        (
            "a rede está num nível de formato que este programa não lê",
            "instale naquele computador a versão que a mensagem nomeia, ou mais nova; tire upgrade.level_max se houver",
        ),
        (
            "the network is at a format level that this program does not read",
            "install the version that the message names, or a newer one, on that computer; take upgrade.level_max away if set",
        ),
    ),
];
