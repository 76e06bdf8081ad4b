# A simulator of its own: Lorenz-63 in Julia, all three variables observed with errors of
# standard deviation 2 every 0.1 time units. The service sees states, simulated
# measurements and observations; the model stays here.
include("Ccdm.jl")

using .Ccdm, Printf, Random, Statistics

const MEMBERS, CYCLES, SPIN_UP, DEVIATION, BOUND = 100, 220, 20, 2.0, 1.0

"States, 3 by N, one observation interval later."
function forecast(s)
    for _ in 1:10
        x, y, z = s[1:1, :], s[2:2, :], s[3:3, :]
        s = s .+ 0.01 .* vcat(10 .* (y .- x), x .* (28 .- z) .- y, x .* y .- 8 / 3 .* z)
    end
    return s
end

function main(url)
    random = MersenneTwister(1)
    # Each member's measurement holds a random error, as the instrument's would: so the
    # option measurement_error is left out. The service draws the initial ensemble.
    session = Session(url, """{"state_dim": 3, "measurement_dim": 3, "seed": 1,
        "initial_mean": [0, 0, 25], "initial_std": 5, "members": $MEMBERS}""")
    x = Matrix(analysis(session, 0, 3))
    truth = [1.0 2.0 24.0]'
    errors = Float64[]
    for _ in 1:CYCLES
        truth = forecast(truth)
        observation = vec(truth) .+ DEVIATION .* randn(random, 3)
        x = forecast(x)
        simulated = x .+ DEVIATION .* randn(random, size(x))
        x = Matrix(cycle!(session, x, simulated, observation))
        push!(errors, sqrt(mean((mean(x; dims = 2) .- truth) .^ 2)))
    end
    delete(session)
    score = mean(errors[SPIN_UP+1:end])
    @printf("score: RMSE %.3f, wanted below %.1f; the observations' own is %.1f\n",
            score, BOUND, DEVIATION)
    return score < BOUND ? 0 : 1
end

exit(main(ARGS[1]))
