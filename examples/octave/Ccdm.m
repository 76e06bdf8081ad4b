classdef Ccdm < handle
% CCDM from MATLAB or GNU Octave, over the program curl. Copy this one file.
%
%   session = Ccdm ('http://127.0.0.1:8000', '{"state_dim": 3, "measurement_dim": 3}');
%   x = session.cycle (x, y, observation);
%
% Keep one member per column: dx by N. MATLAB stores by columns, so these bytes are the
% N by dx array, stored by rows, that the service means: nothing is transposed, and the
% npy header says 'fortran_order': False, 'shape': (N, dx).

  properties
    root
    path
    number = 0
    folder
    cleaner % removes the folder with the session, or when an error ends all
  end

  methods

    % Begin a session; settings is the body of POST /v1/sessions, as JSON text.
    function self = Ccdm (url, settings)
      self.root = url;
      folder = tempname ();
      mkdir (folder);
      self.folder = folder;
      self.cleaner = onCleanup (@() Ccdm.remove (folder));
      self.put_file ('settings.json', uint8 (settings), 'uint8');
      self.curl ('POST', '/v1/sessions', ['-H "Content-Type: application/json" --data @' ...
                 self.file('settings.json')]);
      view = jsondecode (self.text ('reply'));
      self.path = ['/v1/sessions/' view.id];
    end

    % Samples, dx by N, of a finished cycle; cycle 0 is the initial ensemble.
    function x = analysis (self, cycle, dx)
      self.curl ('GET', sprintf ('%s/cycles/%d/analysis', self.path, cycle), ...
                 '-H "Accept: application/octet-stream"');
      x = reshape (self.reply ('float64'), dx, []);
    end

    % Assimilate the next cycle: states dx by N, simulated dy by N, observation dy by 1
    % with NaN where nothing came in. Returns samples, dx by N.
    function x = cycle (self, states, simulated, observation)
      self.put_npy ('states', states, sprintf ('%d, %d', size (states, 2), size (states, 1)));
      self.put_npy ('simulated', simulated, ...
                    sprintf ('%d, %d', size (simulated, 2), size (simulated, 1)));
      self.put_npy ('observation', observation, sprintf ('%d,', numel (observation)));
      self.curl ('PUT', sprintf ('%s/cycles/%d', self.path, self.number + 1), ...
                 ['-H "Accept: application/octet-stream"' ...
                  ' -F forecast_states=@' self.file('states.npy') ...
                  ' -F simulated_measurements=@' self.file('simulated.npy') ...
                  ' -F observation=@' self.file('observation.npy')]);
      self.number = self.number + 1;
      x = reshape (self.reply ('float64'), size (states, 1), []);
    end

    % Have the service forget the session, which it keeps otherwise.
    function close (self)
      self.curl ('DELETE', self.path, '');
      self.cleaner = []; % removes the folder
    end

  end

  methods (Static)

    function remove (folder)
      if exist (folder, 'dir')
        delete (fullfile (folder, '*'));
        rmdir (folder);
      end
    end

  end

  methods (Access = private)

    function name = file (self, name)
      name = fullfile (self.folder, name);
    end

    % An npy file: a header of 128 bytes, then the numbers.
    function put_npy (self, name, values, shape)
      dict = ['{''descr'': ''<f8'', ''fortran_order'': False, ''shape'': (' shape '), }'];
      header = [147, double('NUMPY'), 1, 0, 118, 0, double(sprintf ('%-117s\n', dict))];
      self.put_file ([name '.npy'], header, 'uint8', values);
    end

    function put_file (self, name, first, precision, values)
      id = fopen (self.file (name), 'w', 'ieee-le');
      fwrite (id, first, precision);
      if nargin > 4
        fwrite (id, values, 'float64');
      end
      fclose (id);
    end

    function values = reply (self, precision, name)
      if nargin < 3
        name = 'reply';
      end
      id = fopen (self.file (name), 'r', 'ieee-le');
      values = fread (id, Inf, precision);
      fclose (id);
    end

    function words = text (self, name)
      words = char (self.reply ('uint8=>uint8', name)');
    end

    % Run curl, again for half a minute while the service is away: no whole answer came,
    % by curl's exit status (--retry-connrefused knows 7 alone), or the answer says later.
    function curl (self, method, path, arguments)
      key = getenv ('CCDM_API_KEY');
      if ~isempty (key)
        arguments = ['-H "X-API-Key: ' key '" ' arguments];
      end
      command = ['curl -sS -D - -w "%{http_code}" -X ' method ' -o ' self.file('reply') ...
                 ' ' arguments ' ' self.root path ' 2>' self.file('trouble')];
      for attempt = 1:15
        self.put_file ('reply', [], 'uint8'); % that of the request before is no answer
        [code, heads] = system (command);
        status = str2double (regexp (heads, '\d{3}$', 'match', 'once'));
        later = regexpi (heads, 'retry-after: *(\d{1,2})\s', 'tokens');
        if code == 0
          again = any (status == [502, 503, 504]) || (status == 429 && ~isempty (later));
        else
          again = any (code == [6, 7, 18, 28, 35, 52, 55, 56, 92]);
        end
        if ~again
          break
        elseif attempt < 15 && isempty (later)
          pause (2);
        elseif attempt < 15
          pause (str2double (later{end}{1}));
        end
      end
      if code ~= 0
        error ('ccdm:request', '%s %s: no answer from %s: %s', method, path, self.root, ...
               strtrim (self.text ('trouble')));
      elseif status >= 300
        error ('ccdm:request', '%s %s: %d %s', method, path, status, self.text ('reply'));
      end
    end

  end
end
