/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_doctor.h"

#include <stdio.h>

#include "engine/sea_device.h"

enum sea_status
sea_doctor_device(const char *name, char *text, size_t room, struct sea_err *err)
{
    struct sea_device device;
    enum sea_status status = sea_device_open(&device, name, err);

    if (status)
        return status;
    snprintf(text, room, "%s: %s", device.name, sea_device_text(&device));
    sea_device_close(&device);
    return SEA_OK;
}

const struct sea_doctor_file *
sea_doctor_files(size_t *count)
{
    static const struct sea_doctor_file files[] = {
        { "emoji font", "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
          "fonts-noto-color-emoji" },
        { "names", "/usr/share/unicode/cldr/common/annotations/en.xml", "unicode-cldr-core" },
        { "wordnet", "/usr/share/wordnet/index.noun", "wordnet-base" } };

    *count = sizeof(files) / sizeof(files[0]);
    return files;
}
