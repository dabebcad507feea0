/* The commands key new, show, import and export: private keys in files, in the forms of other programs.
 * Called by main.c. Keys go into new files only, never on a terminal. Forms: src/crypto/key_text.h. */
#include "cli/run.h"

#include "crypto/identity_file.h"
#include "crypto/key_text.h"
#include "trace/output.h"

#include <stdio.h>
#include <unistd.h>

static int fail(const struct pg_options *o, enum pg_err err, const char *reason)
{
    return pg_out_failure(o->values.json, err, pg_text(reason[0] ? reason : pg_err_text(err)));
}

static enum pg_key_type chosen_type(const struct pg_options *o)
{
    return o->values.type == PG_OPTION_TYPE_SECP256K1 ? PG_KEY_SECP256K1 : PG_KEY_ED25519;
}

static enum pg_key_format chosen_format(const struct pg_options *o)
{
    switch ((enum pg_option_format)o->values.format) {
    case PG_OPTION_FORMAT_KUBO: return PG_KEY_KUBO;
    case PG_OPTION_FORMAT_PEM: return PG_KEY_PEM;
    case PG_OPTION_FORMAT_UNSET:
    case PG_OPTION_FORMAT_PROTOBUF: break;
    }
    return PG_KEY_PROTOBUF;
}

/* Everything about the key that is no secret. key new prints the peer id alone, as punchgate id does. */
static int tell(const struct pg_options *o, const struct pg_identity *identity)
{
    static const char *const names[] = {[PG_KEY_ED25519] = "ed25519", [PG_KEY_SECP256K1] = "secp256k1"};
    const struct pg_public_key *key = pg_identity_public(identity);
    char text[1024], peer[PG_PEER_ID_TEXT], cid[PG_PEER_ID_CID], public_key[PG_KEY_PUBLIC_TEXT];
    pg_peer_id_text(pg_identity_peer_id(identity), peer);
    pg_peer_id_cid(pg_identity_peer_id(identity), cid);
    pg_key_public_text(key, public_key);
    if (o->values.json) {
        struct pg_out out;
        pg_out_begin(&out, text, sizeof text, "key");
        pg_out_text(&out, "type", pg_text(names[key->type]));
        pg_out_text(&out, "peer", pg_text(peer));
        pg_out_text(&out, "cid", pg_text(cid));
        pg_out_text(&out, "public_key", pg_text(public_key));
        if (o->values.out)
            pg_out_text(&out, "file", pg_text(o->values.out));
        return pg_out_result(pg_out_end(&out));
    }
    if (o->command == PG_CLI_KEY_SHOW)
        snprintf(text, sizeof text, "type        %s\npeer id     %s\nas CID      %s\npublic key  %s\n", names[key->type], peer, cid,
                 public_key);
    else
        snprintf(text, sizeof text, "%s\n", peer);
    return pg_out_result(pg_text(text));
}

static enum pg_err read_input(const struct pg_options *o, struct pg_identity **identity, char *why, size_t room)
{
    uint8_t file[PG_KEY_FILE_MAX];
    char reason[PG_KEY_WHY];
    size_t len;
    *identity = NULL;
    TRY(pg_key_file_read(o->input, file, &len, why, room));
    enum pg_err err = pg_key_text_read(identity, pg_bytes(file, len), reason);
    pg_key_wipe(file, sizeof file);
    if (err == PG_OK)
        return PG_OK;
    snprintf(why, room, "key file \"%s\" %s", o->input, reason);
    return err == PG_ERR_NO_MEMORY ? err : PG_ERR_IDENTITY_BAD;
}

static enum pg_err write_output(const struct pg_options *o, const struct pg_identity *identity, char *why, size_t room)
{
    uint8_t text[PG_KEY_TEXT_MAX];
    char reason[PG_KEY_WHY];
    size_t len = pg_key_text_write(identity, chosen_format(o), text, reason);
    if (len == 0) {
        snprintf(why, room, "--format pem: %s", reason);
        return PG_ERR_KEY_UNSUPPORTED;
    }
    enum pg_err err = pg_key_file_make(o->values.out, pg_bytes(text, len), why, room);
    pg_key_wipe(text, sizeof text);
    return err;
}

int pg_run_key(const struct pg_options *o)
{
    struct pg_identity *identity = NULL;
    char why[PG_IDENTITY_WHY] = "";
    enum pg_err err = PG_OK;
    bool writes = o->command != PG_CLI_KEY_SHOW;
    if (writes && !o->values.out) {
        snprintf(why, sizeof why, "--out is missing; write punchgate %s --out FILE%s%s", pg_cli_command_infos[o->command].name,
                 o->input ? " " : "", o->input ? o->input : "");
        return fail(o, PG_ERR_USAGE, why);
    }
    if (o->command == PG_CLI_KEY_NEW) {
        identity = pg_identity_new_of(chosen_type(o));
        err = identity ? PG_OK : PG_ERR_NO_MEMORY;
    } else {
        err = read_input(o, &identity, why, sizeof why);
    }
    if (err == PG_OK && writes)
        err = write_output(o, identity, why, sizeof why);
    int status = err == PG_OK ? tell(o, identity) : fail(o, err, why);
    pg_identity_free(identity);
    return status;
}
