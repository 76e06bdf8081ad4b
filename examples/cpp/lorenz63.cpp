// A simulator of its own: Lorenz-63 in C++, all three variables observed with errors of
// standard deviation 2 every 0.1 time units. Every seventh observation of z is missing.
// The service sees states, simulated measurements and observations; the model stays here.
#include "ccdm.hpp"

#include <array>
#include <cmath>
#include <iostream>
#include <limits>
#include <random>

constexpr std::size_t DX = 3;
constexpr int CYCLES = 220, SPIN_UP = 20;
constexpr double ERROR = 2.0, BOUND = 1.0;

void forecast(double* s) {
    for (int step = 0; step < 10; ++step) {
        const double x = s[0], y = s[1], z = s[2];
        s[0] += 0.01 * 10 * (y - x);
        s[1] += 0.01 * (x * (28 - z) - y);
        s[2] += 0.01 * (x * y - 8.0 / 3 * z);
    }
}

int main(int argc, char** argv) try {
    if (argc != 2) throw std::runtime_error("usage: lorenz63 URL");
    // Each member's measurement holds a random error, as the instrument's would: so
    // measurement_error is left out. The service draws the initial ensemble.
    ccdm::Session session(argv[1], R"({"state_dim": 3, "measurement_dim": 3, "seed": 1,
        "initial_mean": [0, 0, 25], "initial_std": 5, "members": 100})");
    std::mt19937 random(1);
    std::normal_distribution<double> normal(0.0, ERROR);
    std::array<double, DX> truth{1, 2, 24};
    ccdm::Vector x = session.analysis(0), y, observation(DX);
    double total = 0;
    for (int k = 1; k <= CYCLES; ++k) {
        forecast(truth.data());
        for (std::size_t j = 0; j < DX; ++j) observation[j] = truth[j] + normal(random);
        if (k % 7 == 0) observation[2] = std::numeric_limits<double>::quiet_NaN();
        for (std::size_t i = 0; i < x.size(); i += DX) forecast(&x[i]);
        y = x;
        for (double& value : y) value += normal(random);
        x = session.cycle(x, DX, y, DX, observation);
        double square = 0;
        for (std::size_t j = 0; j < DX; ++j) {
            double mean = 0;
            for (std::size_t i = j; i < x.size(); i += DX) mean += x[i] * DX / x.size();
            square += (mean - truth[j]) * (mean - truth[j]) / DX;
        }
        if (k > SPIN_UP) total += std::sqrt(square) / (CYCLES - SPIN_UP);
    }
    session.remove();
    std::cout << "score: RMSE " << total << ", wanted below " << BOUND
              << "; the observations' own is " << ERROR << "\n";
    return total < BOUND ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
}
