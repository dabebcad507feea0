/* The border between a core and the world: links, what comes in, what goes out. Shared by the core (src/), the
 * real loop (runtime/loop) and the simulated one (runtime/sim); none of them includes another.
 * A link is one byte stream: a socket, a pair of pipes, or a listener that brings forth such. Datagrams have no link: their
 * sockets go by numbers that the core chooses. */
#pragma once
#include "mem/bytes.h"
#include "mem/endpoint.h"
#include "mem/queue.h"

/* What a loop reads at most in one go, and how much room it leaves before the bytes, so that the rest of an
 * incomplete message can be put in front of them. */
#define PG_READ_MAX (256u * 1024u)
#define PG_READ_HEADROOM PG_CHUNK_SLOT

struct pg_link {
    struct pg_queue tx;  /* the core appends and asks for a flush; the loop writes and drops */
    size_t credit;       /* bytes the core takes next; the loop asks pg_core.want before it reads and stops at 0 */
    void *owner;         /* of the core */
    void *os;            /* of the loop */
    void *carrier;       /* of the core, when it carries the bytes itself: such a link never comes before a loop. NULL: a socket */
    uint32_t number;     /* for logs and traces */
    bool closing;        /* the core has asked for its end: nothing more comes in from it */
    bool write_asked;    /* a PG_COMMAND_WRITE is on its way already */
    bool gone;           /* the loop has given it up, and commands were under way that may name it: these are void */
    struct pg_link *next_gone;
};

enum pg_listen_kind { PG_LISTEN_PEER, PG_LISTEN_LOCAL, PG_LISTEN_CONTROL };
enum pg_dial_kind { PG_DIAL_PEER, PG_DIAL_LOCAL };
/* What is wanted of a name: its addresses (both families, IPv4, IPv6), or its TXT records. */
enum pg_resolve_kind { PG_RESOLVE_ADDRESSES, PG_RESOLVE_IP4, PG_RESOLVE_IP6, PG_RESOLVE_TEXTS };
#define PG_RESOLVED_MOST 64u /* answers to one question; what a name has beyond them is left out */

enum pg_command_kind {
    PG_COMMAND_LISTEN,  /* link, listen, endpoint or host and endpoint.port (names are resolved), or path */
    PG_COMMAND_DIAL,    /* link, dial, endpoint or host or path; from: endpoint.port of a peer listener to dial from; meets, waits.
                         * Once more for a link that is not up: a dial that nobody has answered yet begins anew */
    PG_COMMAND_WRITE,   /* link: its tx holds bytes */
    PG_COMMAND_READ,    /* link: its credit was 0 and is no more */
    PG_COMMAND_END,     /* link: no more will be written; half-close after tx is empty */
    PG_COMMAND_CLOSE,   /* link: close after tx is empty; tx may be dropped when the other end is gone */
    PG_COMMAND_RESET,   /* link: close at once, the other end sees a reset */
    PG_COMMAND_RESOLVE, /* number (the core's own, of no question that is open), mode: enum pg_resolve_kind, host */
    PG_COMMAND_FORGET,  /* number: its answer is not wanted any more, and does not come */
    PG_COMMAND_BIND,    /* number (of a datagram socket, the core's own), endpoint: address and port. A multicast address is joined
                         * on every interface that can multicast, loopback not, and its port is shared with other programs */
    PG_COMMAND_SEND,    /* number, endpoint: where to, zone: the interface it leaves by; text: one datagram, which may get lost */
    PG_COMMAND_UNBIND,  /* number: nothing more comes from that socket */
    PG_COMMAND_READY,   /* all listeners stand, or the reachable addresses have changed */
    PG_COMMAND_REPORT,  /* text: one result for standard output */
    PG_COMMAND_STOP,    /* status: end the loop with this exit status */
};

struct pg_command {
    enum pg_command_kind kind;
    struct pg_link *link;
    uint8_t mode; /* enum pg_listen_kind, pg_dial_kind or pg_resolve_kind */
    bool meets;   /* a dial that the other side's may meet: from the port of `from`, or not at all */
    bool waits;   /* the port of `from` is held by no connection of ours to there: should an earlier one be on its way out, that is waited for */
    int status;
    uint32_t number; /* of a question about a name, or of a datagram socket */
    struct pg_endpoint endpoint, from;
    struct pg_bytes host, path, text; /* in the core's configuration or in the turn's arena */
};

enum pg_input_kind {
    PG_INPUT_START,
    PG_INPUT_LISTENING,     /* link, local */
    PG_INPUT_LISTEN_FAILED, /* link, error, reason; the link is dead */
    PG_INPUT_ACCEPT_FAILED, /* link: the listener; reason: why somebody had to be turned away */
    PG_INPUT_ACCEPTED,      /* link: the listener; fresh: the new link, remote, local */
    PG_INPUT_CONNECTED,     /* link, remote, local */
    PG_INPUT_RECEIVED,      /* link, data: writable, with PG_READ_HEADROOM bytes free before it */
    PG_INPUT_ENDED,         /* link: the other end writes no more */
    PG_INPUT_WRITTEN,       /* link: tx has got shorter */
    PG_INPUT_LOST,          /* link, error, reason: failed or refused; the link is dead */
    PG_INPUT_RESOLVED,      /* number, found or texts, n_found: the best first; none: error, reason */
    PG_INPUT_BOUND,         /* number, local */
    PG_INPUT_BIND_FAILED,   /* number, error, reason; the socket is gone */
    PG_INPUT_INTERFACES,    /* number, of a multicast socket; found, n_found: our addresses on the interfaces that it has joined,
                             * each with its interface as zone. Comes behind BOUND, and whenever they have changed */
    PG_INPUT_DATAGRAM,      /* number, data, len, remote, local: where it was sent to, with the interface that it came by as zone;
                             * hops, on_link */
    PG_INPUT_TICK,          /* the deadline has come */
    PG_INPUT_STOP,          /* interrupt or termination asked for */
    PG_INPUT_WAYS,          /* found, n_found: this machine's addresses on interfaces that are up, loopback and link-local ones not.
                             * Comes behind START, and whenever they, their interfaces or default routes have changed; where the
                             * system gives no word of that, or has more of them than PG_RESOLVED_MOST, never */
    PG_INPUT_RELOAD,        /* data: what is wanted from now on, NAME 0 VALUE 0 for each item of each list; at most PG_READ_MAX */
    PG_INPUT_CLOCK,         /* number: seconds since 1970 as of now; the machine's clock was set, or went on while the machine slept */
};

struct pg_input {
    enum pg_input_kind kind;
    struct pg_link *link, *fresh;
    uint8_t *data;
    size_t len;
    int error; /* enum pg_err */
    struct pg_endpoint remote, local;
    struct pg_bytes reason;
    uint32_t number, n_found;
    uint8_t hops; /* that a datagram had left: 255 has crossed no router */
    bool on_link; /* a datagram's source is in a network of the interface that it came by */
    const struct pg_endpoint *found; /* port 0 */
    const struct pg_bytes *texts;    /* each a whole TXT record, its strings joined */
};

/* How a loop sees a core: three functions. `now` is a monotonic time in microseconds. */
struct pg_core {
    void *self;
    void (*input)(void *self, const struct pg_input *, uint64_t now_us);
    bool (*poll)(void *self, struct pg_command *); /* false: drained */
    uint64_t (*deadline)(void *self);              /* microseconds, UINT64_MAX for none */
    /* How much to read from a link that has become readable: its credit as of now, for other links may have used up what
     * they share. 0: stop, PG_COMMAND_READ will come. */
    size_t (*want)(void *self, struct pg_link *);
    struct pg_link *(*link)(void *self);           /* a fresh link for an accepted socket; NULL: too many */
    void (*unlink)(void *self, struct pg_link *);  /* the loop is done with a dead or closed link; at its own end it keeps silent */
};
