/* A simulator of its own: Lorenz-63 in C, all three variables observed with errors of
 * standard deviation 2 every 0.1 time units. The service sees states, simulated
 * measurements and observations; the model stays here. Exits with 0 when the mean of
 * the analysis comes within BOUND of the truth. */
#include "ccdm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 100, DX = 3, CYCLES = 220, SPIN_UP = 20 };
static const double ERROR = 2.0, BOUND = 1.0;

static void forecast(double *s) {
    for (int step = 0; step < 10; step++) {
        double x = s[0], y = s[1], z = s[2];
        s[0] += 0.01 * 10 * (y - x);
        s[1] += 0.01 * (x * (28 - z) - y);
        s[2] += 0.01 * (x * y - 8.0 / 3 * z);
    }
}

static double normal(void) { /* Box and Muller */
    double u = (rand() + 1.0) / (RAND_MAX + 2.0), v = (rand() + 1.0) / (RAND_MAX + 2.0);
    return sqrt(-2 * log(u)) * cos(2 * acos(-1.0) * v);
}

int main(int argc, char **argv) {
    /* The measurement of a member is its state: exact, so measurement_error says how
     * precise the instrument is. The service draws the initial ensemble. */
    const char *settings =
        "{\"state_dim\": 3, \"measurement_dim\": 3, \"seed\": 1, \"members\": 100,"
        " \"initial_mean\": [0, 0, 25], \"initial_std\": 5,"
        " \"options\": {\"measurement_error\": 2.0}}";
    static double x[N * DX], y[N * DX], truth[DX] = {1, 2, 24}, observation[DX];
    double total = 0;
    if (argc != 2) return fprintf(stderr, "usage: %s URL\n", argv[0]), 2;
    srand(1);
    ccdm *session = ccdm_open(argv[1], settings);
    if (!session || ccdm_analysis(session, 0, N, DX, x)) return 1;
    for (int k = 1; k <= CYCLES; k++) {
        forecast(truth);
        for (int j = 0; j < DX; j++) observation[j] = truth[j] + ERROR * normal();
        for (int i = 0; i < N; i++) forecast(x + i * DX);
        memcpy(y, x, sizeof x); /* what each member would have measured */
        if (ccdm_cycle(session, k, N, DX, DX, x, y, observation, x)) return 1;
        double square = 0;
        for (int j = 0; j < DX; j++) {
            double mean = 0;
            for (int i = 0; i < N; i++) mean += x[i * DX + j] / N;
            square += (mean - truth[j]) * (mean - truth[j]) / DX;
        }
        if (k > SPIN_UP) total += sqrt(square) / (CYCLES - SPIN_UP);
    }
    if (ccdm_delete(session)) return 1;
    ccdm_close(session);
    printf("score: RMSE %.3f, wanted below %.1f; the observations' own is %.1f\n", total,
           BOUND, ERROR);
    return total < BOUND ? 0 : 1;
}
