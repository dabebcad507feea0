/* One request of Kademlia: what it asks, whether it may, and the answer. Called by kad_serve.c. */
#pragma once
#include "core/kad_serve.h"

/* Reads a request into the server's hand, checks it, and writes the answer, if there is one, into v->answer. Nothing is changed
 * before pg_kad_hand_take. Whatever is wrong with it comes back as its reason. */
enum pg_err pg_kad_hand_read(struct pg_kad_serve *, struct pg_bytes text);
/* Keeps the record that the request has brought, if it is of that kind. */
void pg_kad_hand_take(struct pg_kad_serve *);
