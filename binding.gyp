{
  "target_defaults": {
    "defines": ["NAPI_VERSION=8"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": ["-std=c++20", "-O3", "-Wall", "-Wextra", "-Wconversion", "-fvisibility=hidden"],
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "GCC_OPTIMIZATION_LEVEL": "3",
      "GCC_SYMBOLS_PRIVATE_EXTERN": "YES"
    }
  },
  "targets": [
    {
      "target_name": "tickd",
      "sources": [
        "native/addon.cc",
        "native/binance_kernel.cc",
        "native/copy_kernel.cc",
        "native/crc32_kernel.cc",
        "native/event_loop.cc",
        "native/latest_kernel.cc",
        "native/ndjson_kernel.cc",
        "native/notify.cc",
        "native/packed_kernel.cc",
        "native/send_buffer.cc",
        "native/system_glue.cc",
        "native/time_slice.cc"
      ]
    }
  ],
  "conditions": [
    [
      "OS=='linux'",
      {
        "targets": [
          {
            "target_name": "tickd_load",
            "sources": ["native/bench/load_addon.cc", "native/bench/load_tools.cc"]
          }
        ]
      }
    ]
  ]
}
