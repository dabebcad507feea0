/* Addresses that are neither multiaddrs nor HOST:PORT of a service. Used by values.c to check and by run.c to take them. */
#pragma once
#include "mem/bytes.h"
#include "mem/endpoint.h"

/* ADDRESS or ADDRESS:PORT, numeric, an IPv6 address with a port in brackets; port 53 unless another is given. */
bool pg_name_server_parse(struct pg_bytes text, struct pg_endpoint *server);
