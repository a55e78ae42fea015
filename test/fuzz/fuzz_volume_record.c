/*
 * fuzz_volume_record.c - the record in a volume's attribute.
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
    cleanup_volume_record struct volume_record record = {0}, again = {0};

    if (volume_record_parse((const char *)data, size, &record, /* err= */ NULL) < 0) {
        assert(record.provider == NULL && record.versions.n == 0);
        return 0;
    }
    cleanup_secret_free char *text =
        volume_record_print(record.provider != NULL ? record.provider : "", record.mark, &record.versions,
                            /* err= */ NULL);
    assert(text != NULL);
    int status = volume_record_parse(text, strlen(text), &again, /* err= */ NULL);
    assert(status == 0 && strcmp(record.mark, again.mark) == 0);
    /* Printing may escape what was not escaped; a text that grew over the limit loses its versions. */
    assert(again.versions.n == record.versions.n || again.versions.n == 0);
    return 0;
}
