/* Which values may be stored under which keys, by namespace. Called by kad_serve.c before anything is kept for others, and by
 * the engine for what answers bring. A pure function with a table of cases in tests/unit/kad_validate_test.c.
 * Serves libp2p/specs kad-dht/README.md, "Entry validation". */
#pragma once
#include "errors.gen.h"
#include "mem/bytes.h"

/* /punchgate/svc/NAME holds NAME as a JSON string, /pk/ID the public key whose id is ID (its binary form). /ipns/… is refused:
 * such a record has to be checked against a signature and a validity that only IPNS knows, and an unchecked one would be passed
 * on as if it were good. Anything else is taken, as rust-libp2p does, which is also what a record of an application is.
 * Of two good values the newer one stays (kad_store.h). PG_ERR_KAD_NAMESPACE, PG_ERR_KAD_VALUE. */
enum pg_err pg_kad_validate(struct pg_bytes key, struct pg_bytes value);
