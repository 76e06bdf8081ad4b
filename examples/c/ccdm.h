/* CCDM from C, over libcurl. Copy ccdm.h and ccdm.c into your simulator.
 *
 * Arrays are row-major: member i's state is x[i * dx] ... x[i * dx + dx - 1]. To a
 * language that stores by columns, the same bytes are a dx by N array. Functions return
 * 0 when all went well; else they have said why on standard error. */
#ifndef CCDM_H
#define CCDM_H

typedef struct ccdm ccdm;

/* Begin a session. json holds state_dim, measurement_dim and whatever else
 * POST /v1/sessions takes. NULL when it could not be. The key is in CCDM_API_KEY. */
ccdm *ccdm_open(const char *url, const char *json);

/* Samples of a finished cycle into out[n * dx]; cycle 0 is the initial ensemble. */
int ccdm_analysis(ccdm *c, int cycle, int n, int dx, double *out);

/* Assimilate cycle k: x[n * dx], y[n * dy], observation[dy] (NaN: not observed). */
int ccdm_cycle(ccdm *c, int k, int n, int dx, int dy, const double *x, const double *y,
               const double *observation, double *out);

/* Have the service forget the session, which it keeps otherwise, to be taken up later. */
int ccdm_delete(ccdm *c);

/* Free what is held here. */
void ccdm_close(ccdm *c);
#endif
