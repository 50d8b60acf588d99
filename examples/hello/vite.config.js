import { defineConfig } from "vite";

export default defineConfig({
  appType: "mpa",
  build: {
    reportCompressedSize: false,
    rolldownOptions: {
      input: ["index.html", "about/index.html", "404.html"],
    },
  },
});
