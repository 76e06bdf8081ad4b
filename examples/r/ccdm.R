# CCDM from R with the package curl (Debian: r-cran-curl). Copy this file, source() it.
#
# Keep one member per column: a dx by N matrix. R stores by columns, so these bytes are the
# N by dx array, stored by rows, that the service means: nothing is transposed, and the npy
# header says 'fortran_order': False, 'shape': (N, dx).

ccdm_request <- function(method, url, accept, form = NULL, json = NULL) {
  handle <- curl::new_handle(customrequest = method)
  heads <- c(Accept = accept)
  key <- Sys.getenv("CCDM_API_KEY")
  if (nzchar(key)) heads <- c(heads, "X-API-Key" = key)
  if (!is.null(json)) {
    heads <- c(heads, "Content-Type" = "application/json")
    curl::handle_setopt(handle, postfields = json)
  }
  if (!is.null(form)) curl::handle_setform(handle, .list = form)
  curl::handle_setheaders(handle, .list = as.list(heads))
  # While the service is away; a cycle may be sent again safely.
  for (attempt in 1:10) {
    reply <- tryCatch(curl::curl_fetch_memory(url, handle), error = identity)
    if (!inherits(reply, "error") && reply$status_code != 503) break
    Sys.sleep(1)
  }
  if (inherits(reply, "error")) stop(reply)
  if (reply$status_code >= 400) stop(method, " ", url, ": ", rawToChar(reply$content))
  reply
}

# An npy file in memory: a header of 128 bytes, then the numbers (little-endian).
ccdm_npy <- function(values) {
  shape <- if (is.matrix(values)) paste(rev(dim(values)), collapse = ", ") else
    paste0(length(values), ",")
  dict <- sprintf("{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }", shape)
  bytes <- c(as.raw(0x93), charToRaw("NUMPY"), as.raw(c(1, 0, 118, 0)),
             charToRaw(formatC(dict, width = -117)), as.raw(10),
             writeBin(as.double(values), raw(), size = 8, endian = "little"))
  curl::form_data(bytes, "application/x-npy")
}

ccdm_doubles <- function(reply, dx) {
  count <- length(reply$content) / 8
  matrix(readBin(reply$content, "double", count, size = 8, endian = "little"), nrow = dx)
}

# Begin a session: an address to which cycles are added. settings is the body of
# POST /v1/sessions, as JSON text.
ccdm_open <- function(url, settings) {
  reply <- ccdm_request("POST", paste0(url, "/v1/sessions"), "application/json",
                        json = settings)
  path <- curl::parse_headers_list(reply$headers)$location
  if (is.null(path)) stop("no session in the answer: no header Location")
  paste0(url, path)
}

# Have the service forget the session, which it keeps otherwise.
ccdm_delete <- function(session) {
  invisible(ccdm_request("DELETE", session, "application/json"))
}

# Samples, dx by N, of a finished cycle; cycle 0 is the initial ensemble.
ccdm_analysis <- function(session, cycle, dx) {
  address <- sprintf("%s/cycles/%d/analysis", session, cycle)
  ccdm_doubles(ccdm_request("GET", address, "application/octet-stream"), dx)
}

# Assimilate cycle k: states dx by N, simulated dy by N, observation of length dy with NaN
# where nothing came in. Returns samples, dx by N.
ccdm_cycle <- function(session, k, states, simulated, observation) {
  form <- list(forecast_states = ccdm_npy(states),
               simulated_measurements = ccdm_npy(simulated),
               observation = ccdm_npy(observation))
  address <- sprintf("%s/cycles/%d", session, k)
  ccdm_doubles(ccdm_request("PUT", address, "application/octet-stream", form), nrow(states))
}
