/*
 * json_field.h: one field of a JSON object. Pure.
 */
#ifndef NODES_TEXT_JSON_FIELD_H
#define NODES_TEXT_JSON_FIELD_H

#include <stddef.h>

/* The field of that name of the object in `data`: of a string its text, of anything else its JSON without blanks, of a
 * number as a double writes it. NULL where there is no such field or no object. The caller frees it. */
char *json_field(const void *data, size_t length, const char *name);

#endif
