/* What people write after --expose, --tunnel, --tunnel-by-name and `pipe`: names and targets, taken apart into slices of the text.
 * Called when options are read; the grammar is spec/wire/spec_text.rl.
 * The original's README, "Options"; IPv6 addresses stand in brackets, as in RFC 3986, section 3.2.2. */
#pragma once
#include "errors.gen.h"
#include "mem/bytes.h"

#define PG_SERVICE_NAME_MAX 255
#define PG_SOCKET_PATH_MAX 107 /* sun_path of unix(7), without its zero */

struct pg_expose_text {
    struct pg_bytes name;
    struct pg_bytes host;  /* without brackets */
    struct pg_bytes path;  /* of a unix socket, instead of host and port */
    struct pg_bytes allow; /* all of ,allow=PEER,allow=PEER: for pg_allow_next */
    uint16_t port;         /* never 0 */
};

struct pg_tunnel_text {
    struct pg_bytes peer; /* a peer id, or an address that ends in one */
    struct pg_bytes service;
    struct pg_bytes host; /* where to listen, without brackets */
    struct pg_bytes path; /* or at a unix socket */
    uint16_t port;        /* 0: any free one */
};

struct pg_named_text {
    struct pg_bytes service;
    struct pg_bytes host;  /* where to listen, without brackets */
    struct pg_bytes path;  /* or at a unix socket */
    struct pg_bytes allow; /* for pg_allow_next: the peers that may be used */
    uint16_t port;         /* 0: any free one */
};

struct pg_pipe_text {
    struct pg_bytes addr;
    struct pg_bytes service;
};

/* Each refuses control characters and broken UTF-8 (TEXT_CONTROL), a wrong form (EXPOSE_BAD, TUNNEL_BAD, TUNNEL_NAME_BAD, PIPE_BAD), an
 * empty or too long name (NAME_EMPTY, NAME_TOO_LONG), a bad port (PORT_BAD) or a path that no socket can have
 * (SOCKET_PATH_LONG), and for tunnels ,allow= (TUNNEL_ALLOW), in this order. */
enum pg_err pg_expose_parse(struct pg_bytes, struct pg_expose_text *); /* NAME=HOST:PORT or NAME=unix:/PATH, at the first = */
enum pg_err pg_tunnel_parse(struct pg_bytes,
                            struct pg_tunnel_text *);              /* PEER:SERVICE@HOST:PORT or …@unix:/PATH, at the last @, then the first : */
enum pg_err pg_named_parse(struct pg_bytes, struct pg_named_text *); /* NAME@HOST:PORT or …@unix:/PATH, at the last @ */
enum pg_err pg_pipe_parse(struct pg_bytes, struct pg_pipe_text *); /* ADDR:SERVICE, at the last : */
/* The next peer of an allow list, not looked at; false at its end. */
bool pg_allow_next(struct pg_bytes *rest, struct pg_bytes *peer);
