/*
 * fuzz_volume_metadata.c - the metadata in a volume's attribute.
 *
 * What is accepted must survive the way to text and back.
 */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/base/secret.h"
#include "driver/rotation/volume_metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_volume_metadata struct volume_metadata metadata = {0}, again = {0};

    if (volume_metadata_parse((const char *)data, size, &metadata, /* err= */ NULL) < 0) {
        assert(metadata.provider == NULL && metadata.versions.n == 0);
        return 0;
    }
    cleanup_secret_free char *text = volume_metadata_print(metadata.provider != NULL ? metadata.provider : "",
                                                           metadata.spec_hash, &metadata.versions,
                                                           /* err= */ NULL);
    assert(text != NULL);
    int status = volume_metadata_parse(text, strlen(text), &again, /* err= */ NULL);
    assert(status == 0 && strcmp(metadata.spec_hash, again.spec_hash) == 0);
    /* Printing may escape what was not escaped; a text that grew over the limit loses its versions. */
    assert(again.versions.n == metadata.versions.n || again.versions.n == 0);
    return 0;
}
