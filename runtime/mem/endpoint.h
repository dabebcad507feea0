/* An IP address and port as plain bytes, so that the core can speak of sockets without their headers. */
#pragma once
#include <stdint.h>

struct pg_endpoint {
    uint8_t family; /* 4 or 6; 0 for none */
    uint8_t ip[16]; /* network order; the first 4 for family 4 */
    uint16_t port;  /* host order */
    uint32_t zone;  /* IPv6 interface index, 0 for none */
};
