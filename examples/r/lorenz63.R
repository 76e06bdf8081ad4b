# A simulator of its own: Lorenz-63 in R, all three variables observed with errors of
# standard deviation 2 every 0.1 time units. The service sees states, simulated
# measurements and observations; the model stays here.
arguments <- commandArgs(trailingOnly = FALSE)
here <- dirname(sub("^--file=", "", grep("^--file=", arguments, value = TRUE)))
source(file.path(here, "ccdm.R"))
url <- commandArgs(trailingOnly = TRUE)[1]

members <- 100; cycles <- 220; spin_up <- 20; deviation <- 2; bound <- 1

# States 3 by N, one observation interval later.
forecast <- function(s) {
  for (step in 1:10) {
    rate <- rbind(10 * (s[2, ] - s[1, ]), s[1, ] * (28 - s[3, ]) - s[2, ],
                  s[1, ] * s[2, ] - 8 / 3 * s[3, ])
    s <- s + 0.01 * rate
  }
  s
}

# Each member's measurement holds a random error, as the instrument's would: so the option
# measurement_error is left out.
set.seed(1)
session <- ccdm_open(url, sprintf('{"state_dim": 3, "measurement_dim": 3, "seed": 1,
  "initial_mean": [0, 0, 25], "initial_std": 5, "members": %d}', members))
x <- ccdm_analysis(session, 0, 3)
truth <- matrix(c(1, 2, 24))
errors <- numeric(cycles)
for (k in seq_len(cycles)) {
  truth <- forecast(truth)
  observation <- truth[, 1] + deviation * rnorm(3)
  x <- forecast(x)
  simulated <- x + deviation * matrix(rnorm(length(x)), 3)
  x <- ccdm_cycle(session, k, x, simulated, observation)
  errors[k] <- sqrt(mean((rowMeans(x) - truth)^2))
}
ccdm_delete(session)
score <- mean(errors[-seq_len(spin_up)])
cat(sprintf("score: RMSE %.3f, wanted below %.1f; the observations' own is %.1f\n",
            score, bound, deviation))
quit(status = if (score < bound) 0 else 1)
