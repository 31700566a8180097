"use strict";
// A file of its own, so that the page's content security policy can refuse inline scripts.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#operations",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
  // Never send the description to a validator elsewhere.
  validatorUrl: null,
});
