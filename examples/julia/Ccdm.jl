# CCDM from Julia 1.6 or later with its standard library alone. Copy this file, include it.
#
# Keep one member per column: a dx by N matrix. Julia stores by columns, so these bytes are
# the N by dx array, stored by rows, that the service means: nothing is transposed, and the
# npy header says 'fortran_order': False, 'shape': (N, dx).
module Ccdm

using Downloads

export Session, analysis, cycle!, delete

const BOUNDARY = "ccdm-9f1c2ab47d5e"

mutable struct Session
    root::String
    path::String
    number::Int
end

"Begin a session; settings is the body of POST /v1/sessions, as JSON text."
function Session(url::AbstractString, settings::AbstractString)
    session = Session(rstrip(url, '/'), "", 0)
    reply, _ = request(session, "POST", "/v1/sessions", Vector{UInt8}(settings),
                       ["Content-Type" => "application/json"])
    session.path = only(last(h) for h in reply.headers if lowercase(first(h)) == "location")
    return session
end

"Samples, dx by N, of a finished cycle; cycle 0 is the initial ensemble."
function analysis(session::Session, cycle::Integer, dx::Integer)
    _, bytes = request(session, "GET", "$(session.path)/cycles/$cycle/analysis", nothing,
                       ["Accept" => "application/octet-stream"])
    return doubles(bytes, dx)
end

"""
Assimilate the next cycle: states dx by N, simulated dy by N, observation of length dy with
NaN where nothing came in. Returns samples, dx by N.
"""
function cycle!(session::Session, states::Matrix{Float64}, simulated::Matrix{Float64},
                observation::Vector{Float64})
    body = IOBuffer()
    part(body, "forecast_states", states)
    part(body, "simulated_measurements", simulated)
    part(body, "observation", observation)
    print(body, "--", BOUNDARY, "--")
    _, bytes = request(session, "PUT", "$(session.path)/cycles/$(session.number + 1)",
                       take!(body),
                       ["Accept" => "application/octet-stream",
                        "Content-Type" => "multipart/form-data; boundary=$BOUNDARY"])
    session.number += 1
    return doubles(bytes, size(states, 1))
end

"Have the service forget the session, which it keeps otherwise."
delete(session::Session) = (request(session, "DELETE", session.path, nothing, Pair{String,String}[]); nothing)

# An npy file as a part of the form: a header of 128 bytes, then the numbers.
function part(body::IO, name::AbstractString, values::Array{Float64})
    print(body, "--", BOUNDARY, "\r\nContent-Disposition: form-data; name=\"", name,
          "\"\r\n\r\n")
    shape = values isa Matrix ? "$(size(values, 2)), $(size(values, 1))" : "$(length(values)),"
    dict = "{'descr': '<f8', 'fortran_order': False, 'shape': ($shape), }"
    write(body, UInt8[0x93], "NUMPY", UInt8[1, 0, 118, 0], rpad(dict, 117), "\n")
    write(body, htol.(values))
    print(body, "\r\n")
end

doubles(bytes::Vector{UInt8}, dx::Integer) = reshape(ltoh.(reinterpret(Float64, bytes)), dx, :)

# One request, repeated while the service is away: a cycle may be sent again safely.
function request(session::Session, method, path, body, headers)
    haskey(ENV, "CCDM_API_KEY") && push!(headers, "X-API-Key" => ENV["CCDM_API_KEY"])
    for attempt in 1:10
        output = IOBuffer()
        input = body === nothing ? nothing : IOBuffer(body)
        reply = Downloads.request(session.root * path; method, headers, input, output,
                                  throw = false)
        bytes = take!(output)
        if reply isa Downloads.Response && reply.status < 400
            return reply, bytes
        elseif reply isa Downloads.Response && reply.status != 503
            error("$method $path: $(String(bytes))")
        end
        attempt == 10 && error("$method $path: $reply")
        sleep(1)
    end
end

end # module
