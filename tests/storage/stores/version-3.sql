BEGIN TRANSACTION;
CREATE TABLE assets (
	id VARCHAR NOT NULL, 
	body JSON NOT NULL, 
	created VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "assets" VALUES('eb9e70e28a9f488fa2a2fa9a1a67b9db','{"name": "m", "artifacts": [{"prefix": "ExperimentRun/dcid.digits_1/outputs/model.pkl"}]}','2026-11-28T11:15:43.2927850+00:00');
CREATE TABLE blobs (
	container VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	file VARCHAR NOT NULL, 
	size INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	etag VARCHAR NOT NULL, 
	md5 VARCHAR, 
	content_type VARCHAR NOT NULL, 
	created VARCHAR NOT NULL, 
	modified VARCHAR NOT NULL, 
	live BOOLEAN NOT NULL, 
	blocks INTEGER NOT NULL, 
	extra JSON, 
	PRIMARY KEY (container, name)
);
INSERT INTO "blobs" VALUES('snapshots','files/1','5c/5c322b7eb82a4c7081cffaa75cb69a51',15,'BlockBlob','"0x52CF1EEB25094232"','100e360cc768f15a35ed9ddf05e354ce','application/octet-stream','2026-11-28T11:15:43.1602660+00:00','2026-11-28T11:15:43.1602660+00:00',0,0,'null');
INSERT INTO "blobs" VALUES('azureml','ExperimentRun/dcid.digits_1/outputs/model.pkl','39/39c0984442cb4ae8bfa23873c8386d09',15,'BlockBlob','"0x4B439A891B3B4DF7"','100e360cc768f15a35ed9ddf05e354ce','application/octet-stream','2026-11-28T11:15:43.2001610+00:00','2026-11-28T11:15:43.2001610+00:00',0,0,'null');
INSERT INTO "blobs" VALUES('azureml-blobstore','log.txt','f3/f3b7cdf1936841c48a1654bd51b6dcf0',4,'AppendBlob','"0x4E8F80CACCC1497F"',NULL,'application/octet-stream','2026-11-28T11:15:43.2006510+00:00','2026-11-28T11:15:43.2012720+00:00',0,1,'null');
CREATE TABLE blocks (
	container VARCHAR NOT NULL, 
	blob VARCHAR NOT NULL, 
	id VARCHAR NOT NULL, 
	file VARCHAR NOT NULL, 
	size INTEGER NOT NULL, 
	created VARCHAR NOT NULL, 
	PRIMARY KEY (container, blob, id)
);
INSERT INTO "blocks" VALUES('azureml-blobstore','big.bin','AAAA','ae/ae9c78e2fb594c0fb8eb782698a31b4a',5,'2026-11-28T11:15:43.2020120+00:00');
CREATE TABLE computes (
	name VARCHAR NOT NULL, 
	location VARCHAR NOT NULL, 
	vm_size VARCHAR NOT NULL, 
	vm_priority VARCHAR NOT NULL, 
	min_nodes INTEGER NOT NULL, 
	max_nodes INTEGER NOT NULL, 
	idle_seconds DOUBLE NOT NULL, 
	tags JSON NOT NULL, 
	description VARCHAR, 
	extra JSON NOT NULL, 
	created VARCHAR NOT NULL, 
	modified VARCHAR NOT NULL, 
	provisioning_error JSON, 
	PRIMARY KEY (name)
);
INSERT INTO "computes" VALUES('cpu-cluster','local','STANDARD_D2_V2','dedicated',0,4,120.0,'{"team": "a"}',NULL,'{}','2026-11-28T11:15:43.3600940+00:00','2026-11-28T11:15:43.3600940+00:00','null');
CREATE TABLE dataset_versions (
	dataset_id VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	saved_id VARCHAR NOT NULL, 
	description VARCHAR, 
	tags JSON NOT NULL, 
	created VARCHAR NOT NULL, 
	PRIMARY KEY (dataset_id, version), 
	FOREIGN KEY(dataset_id) REFERENCES datasets (id), 
	FOREIGN KEY(saved_id) REFERENCES saved_datasets (id)
);
INSERT INTO "dataset_versions" VALUES('ba57efc0-3f1d-47a1-afad-53f759d9dbee',1,'1fe98917-0b1e-5b36-9dcc-4da2d81d4fb4','digits','{"t": "1"}','2026-11-28T11:15:43.2137350+00:00');
INSERT INTO "dataset_versions" VALUES('ba57efc0-3f1d-47a1-afad-53f759d9dbee',2,'b965c744-e515-58d1-abc7-be131d40f170',NULL,'{}','2026-11-28T11:15:43.2193200+00:00');
INSERT INTO "dataset_versions" VALUES('3a83201d-bf8e-4f00-afac-63def18302e5',1,'2ba920c5-a395-5dab-b58b-07e1d092cd3a','state 0','{}','2026-11-28T11:15:43.2230800+00:00');
INSERT INTO "dataset_versions" VALUES('3a83201d-bf8e-4f00-afac-63def18302e5',2,'db759435-70ee-5323-ad66-efa3ad22c925','state 1','{}','2026-11-28T11:15:43.2259930+00:00');
INSERT INTO "dataset_versions" VALUES('3a83201d-bf8e-4f00-afac-63def18302e5',3,'7724bf87-a8b8-5bd1-8b7b-6a1e636e2064','state 2','{}','2026-11-28T11:15:43.2289680+00:00');
INSERT INTO "dataset_versions" VALUES('3a83201d-bf8e-4f00-afac-63def18302e5',4,'fbec18d3-8dc3-56dd-b507-771b72f05a3a','state 3','{}','2026-11-28T11:15:43.2317620+00:00');
INSERT INTO "dataset_versions" VALUES('3a83201d-bf8e-4f00-afac-63def18302e5',5,'be3e90ab-aa15-559b-b53b-260240f00692','state 4','{}','2026-11-28T11:15:43.2346980+00:00');
INSERT INTO "dataset_versions" VALUES('3a83201d-bf8e-4f00-afac-63def18302e5',6,'a5d3bfe6-65f4-57bc-9d6b-6d30ffadf9d8','state 5','{}','2026-11-28T11:15:43.2382190+00:00');
INSERT INTO "dataset_versions" VALUES('3a83201d-bf8e-4f00-afac-63def18302e5',7,'1e8cb10b-1c59-5993-87ad-876b38d15eb0','state 6','{}','2026-11-28T11:15:43.2415400+00:00');
INSERT INTO "dataset_versions" VALUES('3a83201d-bf8e-4f00-afac-63def18302e5',8,'196f08c0-49ea-5a30-9612-01d60c443630','state 7','{}','2026-11-28T11:15:43.2448080+00:00');
INSERT INTO "dataset_versions" VALUES('3a83201d-bf8e-4f00-afac-63def18302e5',9,'8d45e28a-1bb4-5b88-9c40-9aa89641cf8e','state 8','{}','2026-11-28T11:15:43.2480980+00:00');
INSERT INTO "dataset_versions" VALUES('3a83201d-bf8e-4f00-afac-63def18302e5',10,'fc2ef0d8-1319-59a4-8b60-9779ae01fcfe','state 9','{}','2026-11-28T11:15:43.2512410+00:00');
INSERT INTO "dataset_versions" VALUES('3a83201d-bf8e-4f00-afac-63def18302e5',11,'ff171dfb-2eba-5623-b251-5486e26bd024','state 10','{}','2026-11-28T11:15:43.2546000+00:00');
CREATE TABLE datasets (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	created VARCHAR NOT NULL, 
	visible BOOLEAN NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "datasets" VALUES('ba57efc0-3f1d-47a1-afad-53f759d9dbee','mnist','file','2026-11-28T11:15:43.2083120+00:00',1);
INSERT INTO "datasets" VALUES('3a83201d-bf8e-4f00-afac-63def18302e5','grown','tabular','2026-11-28T11:15:43.2220780+00:00',1);
CREATE TABLE environment_labels (
	name VARCHAR NOT NULL, 
	label VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	PRIMARY KEY (name, label)
);
INSERT INTO "environment_labels" VALUES('here','stable','1');
CREATE TABLE environments (
	name VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	"order" INTEGER NOT NULL, 
	definition JSON NOT NULL, 
	created VARCHAR NOT NULL, 
	PRIMARY KEY (name, version)
);
INSERT INTO "environments" VALUES('here','1',1,'{"python": {"userManagedDependencies": true}}','2026-11-28T11:15:43.2735280+00:00');
INSERT INTO "environments" VALUES('here','2',2,'{"python": {"userManagedDependencies": false}}','2026-11-28T11:15:43.2781850+00:00');
INSERT INTO "environments" VALUES('named','9',1,'{"python": {"userManagedDependencies": true}}','2026-11-28T11:15:43.2893070+00:00');
INSERT INTO "environments" VALUES('named','beta.1',2,'{"docker": {"enabled": false}}','2026-11-28T11:15:43.2918810+00:00');
CREATE TABLE experiments (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	description VARCHAR, 
	tags JSON NOT NULL, 
	created VARCHAR NOT NULL, 
	archived VARCHAR, 
	former_name VARCHAR, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "experiments" VALUES('7dad7eb5-8abd-4baf-95b5-5e8245be3f79','digits',NULL,'{}','2026-11-28T11:15:43.1552170+00:00',NULL,NULL);
INSERT INTO "experiments" VALUES('06d6003d-45a1-4b0a-bf38-e9bfbd1b325b','noise',NULL,'{}','2026-11-28T11:15:43.1589010+00:00',NULL,NULL);
CREATE TABLE metric_values (
	id INTEGER NOT NULL, 
	metric INTEGER NOT NULL, 
	client_id VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	created VARCHAR NOT NULL, 
	step INTEGER, 
	data JSON NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (metric, client_id, position), 
	FOREIGN KEY(metric) REFERENCES metrics (id)
);
INSERT INTO "metric_values" VALUES(1,1,'m1',0,'2026-11-28T11:15:43.1929510+00:00',0,'{"accuracy": 0.5}');
INSERT INTO "metric_values" VALUES(2,1,'m1',1,'2026-11-28T11:15:43.1929940+00:00',1,'{"accuracy": 0.75}');
INSERT INTO "metric_values" VALUES(3,2,'m2',0,'2026-11-28T11:15:43.1930300+00:00',NULL,'{"x": 1, "y": "\u00e4"}');
CREATE TABLE metrics (
	id INTEGER NOT NULL, 
	run_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	columns JSON NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (run_id, name), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "metrics" VALUES(1,'digits_1','accuracy','azureml.v1.scalar','{"accuracy": "float"}');
INSERT INTO "metrics" VALUES(2,'digits_1','table','azureml.v1.table','{"x": "int", "y": "string"}');
CREATE TABLE model_names (
	name VARCHAR NOT NULL, 
	last_version INTEGER NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "model_names" VALUES('digits-model',2);
INSERT INTO "model_names" VALUES('grown',12);
INSERT INTO "model_names" VALUES('gone',1);
CREATE TABLE models (
	name VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	run_id VARCHAR, 
	body JSON NOT NULL, 
	created VARCHAR NOT NULL, 
	modified VARCHAR NOT NULL, 
	PRIMARY KEY (name, version)
);
INSERT INTO "models" VALUES('digits-model',1,'digits_1','{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db", "runId": "digits_1", "mimeType": "application/x-python", "unpack": false, "kvTags": {"area": "digits", "bare": null}, "properties": {"C": "0.5"}, "description": "the first", "framework": "ScikitLearn", "frameworkVersion": "1.5", "experimentName": "digits", "datasets": [{"name": "training", "id": "1fe98917-0b1e-5b36-9dcc-4da2d81d4fb4"}], "resourceRequirements": {"cpu": 1.0, "memoryInGB": 0.5}, "sampleInputData": "aml://artifact/x", "derivedModelIds": []}','2026-11-28T11:15:43.3018610+00:00','2026-11-28T11:15:43.3018610+00:00');
INSERT INTO "models" VALUES('digits-model',2,NULL,'{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db"}','2026-11-28T11:15:43.3065410+00:00','2026-11-28T11:15:43.3065410+00:00');
INSERT INTO "models" VALUES('grown',1,NULL,'{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db", "kvTags": {"number": "1"}}','2026-11-28T11:15:43.3104640+00:00','2026-11-28T11:15:43.3104640+00:00');
INSERT INTO "models" VALUES('grown',2,NULL,'{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db", "kvTags": {"number": "2"}}','2026-11-28T11:15:43.3130420+00:00','2026-11-28T11:15:43.3130420+00:00');
INSERT INTO "models" VALUES('grown',3,NULL,'{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db", "kvTags": {"number": "3"}}','2026-11-28T11:15:43.3157580+00:00','2026-11-28T11:15:43.3157580+00:00');
INSERT INTO "models" VALUES('grown',4,NULL,'{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db", "kvTags": {"number": "4"}}','2026-11-28T11:15:43.3182820+00:00','2026-11-28T11:15:43.3182820+00:00');
INSERT INTO "models" VALUES('grown',5,NULL,'{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db", "kvTags": {"number": "5"}}','2026-11-28T11:15:43.3209070+00:00','2026-11-28T11:15:43.3209070+00:00');
INSERT INTO "models" VALUES('grown',6,NULL,'{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db", "kvTags": {"number": "6"}}','2026-11-28T11:15:43.3234280+00:00','2026-11-28T11:15:43.3234280+00:00');
INSERT INTO "models" VALUES('grown',7,NULL,'{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db", "kvTags": {"number": "7"}}','2026-11-28T11:15:43.3259100+00:00','2026-11-28T11:15:43.3259100+00:00');
INSERT INTO "models" VALUES('grown',8,NULL,'{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db", "kvTags": {"number": "8"}}','2026-11-28T11:15:43.3304410+00:00','2026-11-28T11:15:43.3304410+00:00');
INSERT INTO "models" VALUES('grown',9,NULL,'{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db", "kvTags": {"number": "9"}}','2026-11-28T11:15:43.3329770+00:00','2026-11-28T11:15:43.3329770+00:00');
INSERT INTO "models" VALUES('grown',10,NULL,'{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db", "kvTags": {"number": "10"}}','2026-11-28T11:15:43.3354590+00:00','2026-11-28T11:15:43.3354590+00:00');
INSERT INTO "models" VALUES('grown',11,NULL,'{"url": "aml://asset/eb9e70e28a9f488fa2a2fa9a1a67b9db", "kvTags": {"number": "11"}}','2026-11-28T11:15:43.3379070+00:00','2026-11-28T11:15:43.3379070+00:00');
CREATE TABLE run_datasets (
	id INTEGER NOT NULL, 
	run_id VARCHAR NOT NULL, 
	output BOOLEAN NOT NULL, 
	name VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	mechanism VARCHAR, 
	saved_id VARCHAR NOT NULL, 
	registered_id VARCHAR, 
	registered_version VARCHAR, 
	PRIMARY KEY (id), 
	UNIQUE (run_id, output, name, saved_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id), 
	FOREIGN KEY(saved_id) REFERENCES saved_datasets (id)
);
INSERT INTO "run_datasets" VALUES(1,'digits_1',0,'mnist','RunInput','mount','1fe98917-0b1e-5b36-9dcc-4da2d81d4fb4',NULL,NULL);
CREATE TABLE run_entries (
	field VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	start VARCHAR NOT NULL, 
	run INTEGER NOT NULL, 
	PRIMARY KEY (field, "key", start, run), 
	FOREIGN KEY(run) REFERENCES runs (number) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "run_entries" VALUES('properties','p','q',2);
INSERT INTO "run_entries" VALUES('tags','a','1',2);
CREATE TABLE run_events (
	id INTEGER NOT NULL, 
	run_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	time VARCHAR NOT NULL, 
	data JSON NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "run_events" VALUES(1,'digits_1','azureml_local.Status','2026-11-28T11:15:43.1750200+00:00','{"status": "Running"}');
INSERT INTO "run_events" VALUES(2,'digits_1','azureml_local.Status','2026-11-28T11:15:43.1795990+00:00','{"status": "Completed"}');
INSERT INTO "run_events" VALUES(3,'noise_1','azureml_local.Status','2026-11-28T11:15:43.1875270+00:00','{"status": "Failed"}');
INSERT INTO "run_events" VALUES(4,'digits_1_child','Microsoft.MachineLearning.Run.Start','2026-11-28T11:15:43.1919040+00:00','{"StartTime": "now"}');
CREATE TABLE runs (
	number INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	uuid VARCHAR NOT NULL, 
	folded_id VARCHAR, 
	experiment_id VARCHAR NOT NULL, 
	parent_id VARCHAR, 
	root_id VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	run_type VARCHAR, 
	target VARCHAR, 
	name VARCHAR, 
	display_name VARCHAR, 
	description VARCHAR, 
	script_name VARCHAR, 
	hidden BOOLEAN NOT NULL, 
	created VARCHAR NOT NULL, 
	started VARCHAR, 
	ended VARCHAR, 
	tags JSON NOT NULL, 
	properties JSON NOT NULL, 
	definition JSON NOT NULL, 
	snapshot_id VARCHAR, 
	error JSON, 
	warnings JSON NOT NULL, 
	process JSON, 
	PRIMARY KEY (number), 
	UNIQUE (id), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (id)
);
INSERT INTO "runs" VALUES(1,'digits_1','967fa4b1-c3ca-4e26-89e8-4c8501ced894','digits_1','7dad7eb5-8abd-4baf-95b5-5e8245be3f79',NULL,'digits_1','Completed','azureml.scriptrun','cpu-cluster',NULL,NULL,NULL,'train.py',0,'2026-11-28T11:15:43.1674120+00:00','2026-11-28T11:15:43.1749730+00:00','2026-11-28T11:15:43.1795300+00:00','{}','{}','{"script": "train.py", "arguments": ["--regularization", "0.5"], "target": "cpu-cluster"}','5f0c0b9e-0000-4000-8000-000000000001','null','[]','null');
INSERT INTO "runs" VALUES(2,'digits_1_child','53755939-391b-4be2-89a5-643c8f194e03','digits_1_child','7dad7eb5-8abd-4baf-95b5-5e8245be3f79','digits_1','digits_1','NotStarted',NULL,NULL,'child',NULL,NULL,NULL,0,'2026-11-28T11:15:43.1831000+00:00',NULL,NULL,'{"a": "1"}','{"p": "q"}','{}',NULL,'null','[]','null');
INSERT INTO "runs" VALUES(3,'noise_1','55caa509-62c2-4167-ac2e-0dac0d34f3a9','noise_1','06d6003d-45a1-4b0a-bf38-e9bfbd1b325b',NULL,'noise_1','Failed',NULL,NULL,NULL,NULL,NULL,NULL,0,'2026-11-28T11:15:43.1851290+00:00',NULL,'2026-11-28T11:15:43.1874860+00:00','{}','{}','{}',NULL,'{"error": {"code": "UserError", "message": "It failed.", "details": []}, "time": "2026-11-28T11:15:43.1865720+00:00"}','[]','null');
INSERT INTO "runs" VALUES(4,'noise_2','304fa7d9-c4f4-40be-81ee-f1a728509e58','noise_2','06d6003d-45a1-4b0a-bf38-e9bfbd1b325b',NULL,'noise_2','NotStarted',NULL,NULL,NULL,NULL,NULL,NULL,0,'2026-11-28T11:15:43.1898800+00:00',NULL,NULL,'{}','{}','{}',NULL,'null','[]','null');
CREATE TABLE saved_datasets (
	id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	dataflow VARCHAR NOT NULL, 
	properties JSON NOT NULL, 
	created VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "saved_datasets" VALUES('1fe98917-0b1e-5b36-9dcc-4da2d81d4fb4','file','{"blocks": []}','{"a": "b"}','2026-11-28T11:15:43.2046220+00:00');
INSERT INTO "saved_datasets" VALUES('b965c744-e515-58d1-abc7-be131d40f170','file','{"blocks": [1]}','{}','2026-11-28T11:15:43.2170790+00:00');
INSERT INTO "saved_datasets" VALUES('2ba920c5-a395-5dab-b58b-07e1d092cd3a','tabular','{"blocks": [0, 0]}','{}','2026-11-28T11:15:43.2210760+00:00');
INSERT INTO "saved_datasets" VALUES('db759435-70ee-5323-ad66-efa3ad22c925','tabular','{"blocks": [1, 0]}','{}','2026-11-28T11:15:43.2245550+00:00');
INSERT INTO "saved_datasets" VALUES('7724bf87-a8b8-5bd1-8b7b-6a1e636e2064','tabular','{"blocks": [2, 0]}','{}','2026-11-28T11:15:43.2274660+00:00');
INSERT INTO "saved_datasets" VALUES('fbec18d3-8dc3-56dd-b507-771b72f05a3a','tabular','{"blocks": [3, 0]}','{}','2026-11-28T11:15:43.2304460+00:00');
INSERT INTO "saved_datasets" VALUES('be3e90ab-aa15-559b-b53b-260240f00692','tabular','{"blocks": [4, 0]}','{}','2026-11-28T11:15:43.2332540+00:00');
INSERT INTO "saved_datasets" VALUES('a5d3bfe6-65f4-57bc-9d6b-6d30ffadf9d8','tabular','{"blocks": [5, 0]}','{}','2026-11-28T11:15:43.2364240+00:00');
INSERT INTO "saved_datasets" VALUES('1e8cb10b-1c59-5993-87ad-876b38d15eb0','tabular','{"blocks": [6, 0]}','{}','2026-11-28T11:15:43.2399810+00:00');
INSERT INTO "saved_datasets" VALUES('196f08c0-49ea-5a30-9612-01d60c443630','tabular','{"blocks": [7, 0]}','{}','2026-11-28T11:15:43.2431320+00:00');
INSERT INTO "saved_datasets" VALUES('8d45e28a-1bb4-5b88-9c40-9aa89641cf8e','tabular','{"blocks": [8, 0]}','{}','2026-11-28T11:15:43.2465160+00:00');
INSERT INTO "saved_datasets" VALUES('fc2ef0d8-1319-59a4-8b60-9779ae01fcfe','tabular','{"blocks": [9, 0]}','{}','2026-11-28T11:15:43.2497370+00:00');
INSERT INTO "saved_datasets" VALUES('ff171dfb-2eba-5623-b251-5486e26bd024','tabular','{"blocks": [10, 0]}','{}','2026-11-28T11:15:43.2529240+00:00');
CREATE TABLE secrets (
	"key" VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	content_type VARCHAR, 
	created VARCHAR NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "secrets" VALUES('one','One','gAAAA-not-a-real-token',NULL,'2026-11-28T11:15:43.3657160+00:00');
CREATE TABLE snapshots (
	id VARCHAR NOT NULL, 
	parent_id VARCHAR, 
	created VARCHAR NOT NULL, 
	tree JSON NOT NULL, 
	files JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "snapshots" VALUES('5f0c0b9e-0000-4000-8000-000000000001',NULL,'2026-11-28T11:15:43.1608460+00:00','{"name": "", "type": "Directory", "children": {"train.py": {"name": "train.py", "type": "File", "hash": "ab"}}}','{"train.py": {"blob": "files/1", "hash": "ab"}}');
CREATE TABLE store (
	"key" VARCHAR NOT NULL, 
	value JSON NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "store" VALUES('schema_version',3);
INSERT INTO "store" VALUES('workspace_id','"f4654ce5-26cd-4b49-a9f9-6efc0e9f5a61"');
INSERT INTO "store" VALUES('created','"2026-11-28T11:15:43.1318260+00:00"');
INSERT INTO "store" VALUES('names','[["00000000-0000-0000-0000-000000000000", "local", "azureml-local"]]');
INSERT INTO "store" VALUES('ports','[8843, 8844]');
CREATE INDEX ix_experiments_former_name ON experiments (former_name);
CREATE INDEX ix_models_run_id ON models (run_id);
CREATE INDEX models_newest ON models (created, version, name);
CREATE INDEX ix_runs_status ON runs (status);
CREATE INDEX ix_runs_experiment_id ON runs (experiment_id);
CREATE INDEX runs_of_target ON runs (target, status);
CREATE INDEX runs_of_root ON runs (root_id, experiment_id);
CREATE INDEX ix_runs_parent_id ON runs (parent_id);
CREATE INDEX runs_of_experiment ON runs (experiment_id, parent_id);
CREATE INDEX ix_runs_folded_id ON runs (folded_id);
CREATE INDEX ix_dataset_versions_saved_id ON dataset_versions (saved_id);
CREATE INDEX run_entries_of_run ON run_entries (run);
CREATE INDEX ix_run_events_run_id ON run_events (run_id);
CREATE INDEX metric_values_of ON metric_values (metric, created, id);
CREATE TRIGGER run_entries_made AFTER INSERT ON runs BEGIN INSERT INTO run_entries SELECT 'tags', key, substr(coalesce(value, ''), 1, 100), new.number FROM json_each(new.tags) UNION ALL SELECT 'properties', key, substr(coalesce(value, ''), 1, 100), new.number FROM json_each(new.properties); END;
CREATE TRIGGER run_entries_changed AFTER UPDATE OF tags, properties ON runs BEGIN DELETE FROM run_entries WHERE run = new.number; INSERT INTO run_entries SELECT 'tags', key, substr(coalesce(value, ''), 1, 100), new.number FROM json_each(new.tags) UNION ALL SELECT 'properties', key, substr(coalesce(value, ''), 1, 100), new.number FROM json_each(new.properties); END;
COMMIT;
