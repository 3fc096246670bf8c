#include "nodes/text/json_field.h"

#include <cjson/cJSON.h>
#include <string.h>

char *json_field(const void *data, size_t length, const char *name)
{
    cJSON *json = cJSON_ParseWithLength(data, length);
    const cJSON *field = cJSON_IsObject(json) ? cJSON_GetObjectItemCaseSensitive(json, name) : NULL;
    char *text = NULL;
    if (field != NULL)
        text = cJSON_IsString(field) ? strdup(field->valuestring) : cJSON_PrintUnformatted(field);
    cJSON_Delete(json);
    return text;
}
