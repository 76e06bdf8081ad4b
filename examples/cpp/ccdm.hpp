// CCDM from C++17, over libcurl. Copy this one file into your simulator.
//
//   ccdm::Session session("http://127.0.0.1:8000", R"({"state_dim": 3, ...})");
//   std::vector<double> x = session.analysis(0);             // N * dx, row-major
//   x = session.cycle(x, dx, y, dy, observation);            // NaN: not observed
//
// Members are rows: member i's state is x[i * dx] ... x[i * dx + dx - 1]. Everything that
// goes wrong is thrown as std::runtime_error, with the service's own words.
#pragma once

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ccdm {

using Vector = std::vector<double>;

class Session {
  public:
    Session(std::string url, const std::string& settings) : root_(std::move(url)) {
        send("POST", "/v1/sessions", settings, nullptr);
    }

    // Samples of a finished cycle, N * dx; cycle 0 is the initial ensemble.
    Vector analysis(int cycle) {
        return doubles(send("GET", path_ + "/cycles/" + std::to_string(cycle) + "/analysis",
                            "", nullptr));
    }

    // Assimilate the next cycle. A lost reply is asked for again and comes back the same.
    Vector cycle(const Vector& states, std::size_t dx, const Vector& simulated,
                 std::size_t dy, const Vector& observation) {
        Form form(curl_mime_init(curl_.get()), curl_mime_free);
        add(form.get(), "forecast_states", states, shape(states.size() / dx, dx));
        add(form.get(), "simulated_measurements", simulated,
            shape(simulated.size() / dy, dy));
        add(form.get(), "observation", observation, std::to_string(dy) + ",");
        auto samples = doubles(
            send("PUT", path_ + "/cycles/" + std::to_string(cycle_ + 1), "", form.get()));
        ++cycle_;
        return samples;
    }

    // Have the service forget the session, which it keeps otherwise.
    void remove() { send("DELETE", path_, "", nullptr); }

  private:
    using Form = std::unique_ptr<curl_mime, decltype(&curl_mime_free)>;
    std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl_{curl_easy_init(),
                                                              curl_easy_cleanup};
    std::string root_, path_;
    int cycle_ = 0;

    static std::string shape(std::size_t rows, std::size_t columns) {
        return std::to_string(rows) + ", " + std::to_string(columns);
    }

    static std::size_t collect(char* data, std::size_t, std::size_t count, void* into) {
        static_cast<std::string*>(into)->append(data, count);
        return count;
    }

    static Vector doubles(const std::string& bytes) {  // little-endian, as sent
        Vector values(bytes.size() / sizeof(double));
        std::memcpy(values.data(), bytes.data(), values.size() * sizeof(double));
        return values;
    }

    // Add an npy file to the form: a header of 128 bytes, then the numbers.
    static void add(curl_mime* form, const char* name, const Vector& values,
                    const std::string& shape) {
        std::string header =
            "{'descr': '<f8', 'fortran_order': False, 'shape': (" + shape + "), }";
        header.resize(117, ' ');
        std::string npy("\x93NUMPY\x01\x00\x76\x00", 10);
        npy += header + '\n';
        npy.append(reinterpret_cast<const char*>(values.data()),
                   values.size() * sizeof(double));
        curl_mimepart* part = curl_mime_addpart(form);
        curl_mime_name(part, name);
        curl_mime_type(part, "application/x-npy");
        curl_mime_data(part, npy.data(), npy.size());
    }

    std::string send(const char* method, const std::string& path, const std::string& json,
                     curl_mime* form) {
        CURL* curl = curl_.get();
        const std::string address = root_ + path;
        std::string body, heads;
        curl_slist* list = nullptr;
        if (const char* key = std::getenv("CCDM_API_KEY"))
            list = curl_slist_append(list, (std::string("X-API-Key: ") + key).c_str());
        list = curl_slist_append(list, json.empty() ? "Accept: application/octet-stream"
                                                    : "Content-Type: application/json");
        curl_easy_reset(curl);
        curl_easy_setopt(curl, CURLOPT_URL, address.c_str());
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
        curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, collect);
        curl_easy_setopt(curl, CURLOPT_HEADERDATA, &heads);
        if (!json.empty()) curl_easy_setopt(curl, CURLOPT_POSTFIELDS, json.c_str());
        if (form) curl_easy_setopt(curl, CURLOPT_MIMEPOST, form);
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
        CURLcode code = CURLE_OK;
        long status = 0;
        for (int attempt = 0; attempt < 10; ++attempt) {  // while the service is away
            if (attempt) std::this_thread::sleep_for(std::chrono::seconds(1));
            body.clear();
            heads.clear();
            code = curl_easy_perform(curl);
            curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
            if (code == CURLE_OK && status != 503) break;
        }
        curl_slist_free_all(list);
        if (code != CURLE_OK || status >= 400)
            throw std::runtime_error(std::string(method) + " " + address + ": " +
                                     curl_easy_strerror(code) + " " + body);
        if (path_.empty()) path_ = location(heads);
        return body;
    }

    // The address of a new session comes in the header Location.
    static std::string location(const std::string& heads) {
        std::string lower = heads;
        std::transform(lower.begin(), lower.end(), lower.begin(), ::tolower);
        const auto found = lower.find("\r\nlocation: ");
        if (found == std::string::npos)
            throw std::runtime_error("no session in the answer: no header Location");
        return heads.substr(found + 12, heads.find("\r\n", found + 12) - found - 12);
    }
};

}  // namespace ccdm
