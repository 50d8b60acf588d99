// Names the address that this page was really served from.
const place = document.getElementById("host");
if (place) place.textContent = location.host;
