function score = lorenz63 (url)
% A simulator of its own: Lorenz-63 in MATLAB or GNU Octave, all three variables observed
% with errors of standard deviation 2 every 0.1 time units. The service sees states,
% simulated measurements and observations; the model stays here.
  members = 100; cycles = 220; spin_up = 20; deviation = 2; bound = 1;
  randn ('state', 1);

  % Each member's measurement holds a random error, as the instrument's would: so the
  % option measurement_error is left out. The service draws the initial ensemble.
  session = Ccdm (url, sprintf (['{"state_dim": 3, "measurement_dim": 3, "seed": 1, ' ...
    '"initial_mean": [0, 0, 25], "initial_std": 5, "members": %d}'], members));
  x = session.analysis (0, 3);
  truth = [1; 2; 24];
  errors = zeros (1, cycles);
  for k = 1:cycles
    truth = forecast (truth);
    observation = truth + deviation * randn (3, 1);
    x = forecast (x);
    simulated = x + deviation * randn (3, members);
    x = session.cycle (x, simulated, observation);
    errors(k) = sqrt (mean ((mean (x, 2) - truth) .^ 2));
  end
  session.close ();
  score = mean (errors(spin_up + 1:end));
  fprintf ('score: RMSE %.3f, wanted below %.1f; the observations'' own is %.1f\n', ...
           score, bound, deviation);
  if ~(score < bound)
    error ('lorenz63:score', 'the score was not reached');
  end
end

% States, 3 by N, one observation interval later.
function s = forecast (s)
  for step = 1:10
    s = s + 0.01 * [10 * (s(2, :) - s(1, :));
                    s(1, :) .* (28 - s(3, :)) - s(2, :);
                    s(1, :) .* s(2, :) - 8 / 3 * s(3, :)];
  end
end
