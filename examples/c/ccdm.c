/* See ccdm.h. Arrays travel as npy in a multipart form, answers as raw doubles; both are
 * little-endian, as is every machine this is likely to run on. */
#include "ccdm.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct ccdm { CURL *curl; char root[512]; char session[512]; };
typedef struct { char *data; size_t size; } buffer;

static size_t collect(char *data, size_t one, size_t count, void *into) {
    buffer *b = into;
    char *grown = realloc(b->data, b->size + count + 1);
    (void)one; /* always 1 */
    if (!grown) return 0;
    b->data = grown;
    memcpy(b->data + b->size, data, count);
    b->data[b->size += count] = 0;
    return count;
}

/* The address of a new session comes in the header Location. */
static size_t header(char *line, size_t one, size_t count, void *into) {
    ccdm *c = into;
    (void)one;
    if (count < sizeof c->session && !strncasecmp(line, "location:", 9))
        snprintf(c->session, sizeof c->session, "%.*s",
                 (int)strcspn(line + 10, "\r\n"), line + 10);
    return count;
}

/* One request, repeated while the service is away: a cycle may be sent again safely. */
static int request(ccdm *c, const char *method, const char *path, const char *json,
                   curl_mime *form, buffer *reply) {
    char address[1100], key[300], why[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    CURLcode code = CURLE_OK;
    long status = 0;
    snprintf(address, sizeof address, "%s%s", c->root, path);
    if (getenv("CCDM_API_KEY")) {
        snprintf(key, sizeof key, "X-API-Key: %s", getenv("CCDM_API_KEY"));
        headers = curl_slist_append(headers, key);
    }
    headers = curl_slist_append(headers, json ? "Content-Type: application/json"
                                              : "Accept: application/octet-stream");
    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_URL, address);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, reply);
    if (json) {
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, json);
        curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, header);
        curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, c);
    }
    if (form) curl_easy_setopt(c->curl, CURLOPT_MIMEPOST, form);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    for (int attempt = 0; attempt < 10; attempt++) {
        if (attempt) sleep(1);
        reply->size = 0;
        code = curl_easy_perform(c->curl);
        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
        if (code == CURLE_OK && status != 503) break;
    }
    curl_slist_free_all(headers);
    if (code == CURLE_OK && status < 400) return 0;
    fprintf(stderr, "%s %s: %ld %s%.*s\n", method, address, status, why,
            (int)reply->size, reply->data ? reply->data : "");
    return 1;
}

/* Add doubles to a form as an npy file: a header of 128 bytes, then the numbers. The
 * shape is written as Python writes it: "50, 3", and "3," for a vector. */
static void add_array(curl_mime *form, const char *name, const double *values, int count,
                      const char *shape) {
    size_t bytes = sizeof(double) * count;
    char *npy = malloc(128 + bytes), text[118];
    curl_mimepart *part = curl_mime_addpart(form);
    snprintf(text, sizeof text,
             "{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }", shape);
    memcpy(npy, "\x93NUMPY\x01\x00\x76\x00", 10); /* version 1.0, 118 bytes follow */
    snprintf(npy + 10, 119, "%-117s\n", text);
    memcpy(npy + 128, values, bytes);
    curl_mime_name(part, name);
    curl_mime_type(part, "application/x-npy");
    curl_mime_data(part, npy, 128 + bytes);
    free(npy);
}

static int receive(ccdm *c, const char *method, const char *path, curl_mime *form,
                   double *out, int count) {
    buffer reply = {0};
    int failed = request(c, method, path, NULL, form, &reply);
    if (!failed && reply.size != count * sizeof(double)) {
        fprintf(stderr, "%s: %zu bytes, wanted %d doubles\n", path, reply.size, count);
        failed = 1;
    }
    if (!failed && count) memcpy(out, reply.data, reply.size);
    free(reply.data);
    return failed;
}

ccdm *ccdm_open(const char *url, const char *json) {
    ccdm *c = calloc(1, sizeof *c);
    buffer reply = {0};
    snprintf(c->root, sizeof c->root, "%s", url);
    c->curl = curl_easy_init();
    int failed = request(c, "POST", "/v1/sessions", json, NULL, &reply);
    free(reply.data);
    if (!failed && c->session[0]) return c;
    if (!failed) fprintf(stderr, "%s: no session in the answer (Location)\n", url);
    ccdm_close(c);
    return NULL;
}

int ccdm_analysis(ccdm *c, int cycle, int n, int dx, double *out) {
    char path[600];
    snprintf(path, sizeof path, "%s/cycles/%d/analysis", c->session, cycle);
    return receive(c, "GET", path, NULL, out, n * dx);
}

int ccdm_cycle(ccdm *c, int k, int n, int dx, int dy, const double *x, const double *y,
               const double *observation, double *out) {
    char path[600], shape[40];
    curl_mime *form = curl_mime_init(c->curl);
    snprintf(path, sizeof path, "%s/cycles/%d", c->session, k);
    snprintf(shape, sizeof shape, "%d, %d", n, dx);
    add_array(form, "forecast_states", x, n * dx, shape);
    snprintf(shape, sizeof shape, "%d, %d", n, dy);
    add_array(form, "simulated_measurements", y, n * dy, shape);
    snprintf(shape, sizeof shape, "%d,", dy);
    add_array(form, "observation", observation, dy, shape);
    int failed = receive(c, "PUT", path, form, out, n * dx);
    curl_mime_free(form);
    return failed;
}

int ccdm_delete(ccdm *c) { return receive(c, "DELETE", c->session, NULL, NULL, 0); }

void ccdm_close(ccdm *c) {
    curl_easy_cleanup(c->curl);
    free(c);
}
