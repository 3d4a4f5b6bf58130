BEGIN TRANSACTION;
CREATE TABLE assets (
	id VARCHAR NOT NULL, 
	body JSON NOT NULL, 
	created VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "assets" VALUES('6653b6c2530540a1aa78ca74216b9948','{"name": "m", "artifacts": [{"prefix": "x"}]}','2026-11-24T06:54:52.7927150+00:00');
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
	blocks INTEGER NOT NULL, extra JSON, 
	PRIMARY KEY (container, name)
);
INSERT INTO "blobs" VALUES('snapshots','files/1','ca/ca9e460ba9ed4490adac2c66b925dfed',15,'BlockBlob','"0x4CD444D054AB4443"','100e360cc768f15a35ed9ddf05e354ce','application/octet-stream','2026-11-24T06:54:52.5019530+00:00','2026-11-24T06:54:52.5019530+00:00',0,0,NULL);
INSERT INTO "blobs" VALUES('azureml','ExperimentRun/dcid.digits_1/outputs/model.pkl','f8/f863710ae7344917a2fa247e1e56bbe2',15,'BlockBlob','"0x7144DA8FB1B74B28"','100e360cc768f15a35ed9ddf05e354ce','application/octet-stream','2026-11-24T06:54:52.6712470+00:00','2026-11-24T06:54:52.6712470+00:00',0,0,NULL);
INSERT INTO "blobs" VALUES('azureml-blobstore','log.txt','fe/fe0bf800c889481bbccee545cfd6b089',4,'AppendBlob','"0x78706EB4FEEA4306"',NULL,'application/octet-stream','2026-11-24T06:54:52.6730310+00:00','2026-11-24T06:54:52.6741940+00:00',0,1,NULL);
CREATE TABLE blocks (
	container VARCHAR NOT NULL, 
	blob VARCHAR NOT NULL, 
	id VARCHAR NOT NULL, 
	file VARCHAR NOT NULL, 
	size INTEGER NOT NULL, 
	created VARCHAR NOT NULL, 
	PRIMARY KEY (container, blob, id)
);
INSERT INTO "blocks" VALUES('azureml-blobstore','big.bin','AAAA','64/642b71aeb87f48c385135a9386b3a3c9',5,'2026-11-24T06:54:52.7155410+00:00');
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
	modified VARCHAR NOT NULL, provisioning_error JSON, 
	PRIMARY KEY (name)
);
INSERT INTO "computes" VALUES('cpu-cluster','local','STANDARD_D2_V2','dedicated',0,4,120.0,'{"team": "a"}',NULL,'{}','2026-11-24T06:54:52.8383780+00:00','2026-11-24T06:54:52.8383780+00:00',NULL);
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
INSERT INTO "dataset_versions" VALUES('ce80f21a-b023-4474-9f41-63ff9b4fbd11',1,'1fe98917-0b1e-5b36-9dcc-4da2d81d4fb4','digits','{"t": "1"}','2026-11-24T06:54:52.7378050+00:00');
INSERT INTO "dataset_versions" VALUES('ce80f21a-b023-4474-9f41-63ff9b4fbd11',2,'b965c744-e515-58d1-abc7-be131d40f170',NULL,'{}','2026-11-24T06:54:52.7715720+00:00');
CREATE TABLE datasets (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	created VARCHAR NOT NULL, 
	visible BOOLEAN NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "datasets" VALUES('ce80f21a-b023-4474-9f41-63ff9b4fbd11','mnist','file','2026-11-24T06:54:52.7362100+00:00',1);
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
INSERT INTO "environments" VALUES('here','1',1,'{"python": {"userManagedDependencies": true}}','2026-11-24T06:54:52.7731770+00:00');
INSERT INTO "environments" VALUES('here','2',2,'{"python": {"userManagedDependencies": false}}','2026-11-24T06:54:52.7920490+00:00');
CREATE TABLE experiments (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	description VARCHAR, 
	tags JSON NOT NULL, 
	created VARCHAR NOT NULL, 
	archived VARCHAR, former_name VARCHAR, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "experiments" VALUES('673ee832-865e-435e-8c63-22e2f8e88c6f','digits',NULL,'{}','2026-11-24T06:54:52.4812690+00:00',NULL,NULL);
INSERT INTO "experiments" VALUES('abb31bab-0f3d-4e5a-a534-486983c029c4','noise',NULL,'{}','2026-11-24T06:54:52.4989400+00:00',NULL,NULL);
CREATE TABLE metric_values (
	id INTEGER NOT NULL, 
	metric INTEGER NOT NULL, 
	client_id VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	created VARCHAR NOT NULL, 
	data JSON NOT NULL, step INTEGER, 
	PRIMARY KEY (id), 
	UNIQUE (metric, client_id, position), 
	FOREIGN KEY(metric) REFERENCES metrics (id)
);
INSERT INTO "metric_values" VALUES(1,1,'m1',0,'2026-11-24T06:54:52.6525880+00:00','{"accuracy": 0.5}',NULL);
INSERT INTO "metric_values" VALUES(2,1,'m1',1,'2026-11-24T06:54:52.6526270+00:00','{"accuracy": 0.75}',NULL);
INSERT INTO "metric_values" VALUES(3,2,'m2',0,'2026-11-24T06:54:52.6528360+00:00','{"x": 1, "y": "\u00e4"}',NULL);
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
CREATE TABLE models (
	name VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	run_id VARCHAR, 
	body JSON NOT NULL, 
	created VARCHAR NOT NULL, 
	modified VARCHAR NOT NULL, 
	PRIMARY KEY (name, version)
);
INSERT INTO "models" VALUES('digits-model',1,'digits_1','{"name": "digits-model", "url": "aml://asset/6653b6c2530540a1aa78ca74216b9948"}','2026-11-24T06:54:52.8068380+00:00','2026-11-24T06:54:52.8068380+00:00');
INSERT INTO "models" VALUES('digits-model',2,NULL,'{"name": "digits-model", "url": "aml://asset/6653b6c2530540a1aa78ca74216b9948"}','2026-11-24T06:54:52.8085250+00:00','2026-11-24T06:54:52.8085250+00:00');
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
CREATE TABLE run_events (
	id INTEGER NOT NULL, 
	run_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	time VARCHAR NOT NULL, 
	data JSON NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "run_events" VALUES(1,'digits_1_child','Microsoft.MachineLearning.Run.Start','2026-11-24T06:54:52.6329170+00:00','{"StartTime": "now"}');
CREATE TABLE runs (
	number INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	uuid VARCHAR NOT NULL, 
	experiment_id VARCHAR NOT NULL, 
	parent_id VARCHAR, 
	root_id VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	run_type VARCHAR, 
	target VARCHAR, 
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
	process JSON, folded_id VARCHAR, name VARCHAR, 
	PRIMARY KEY (number), 
	UNIQUE (id), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (id)
);
INSERT INTO "runs" VALUES(1,'digits_1','5990298a-8e59-40bc-b87a-7ff8b3bccd49','673ee832-865e-435e-8c63-22e2f8e88c6f',NULL,'digits_1','Completed','azureml.scriptrun','cpu-cluster',NULL,NULL,'train.py',0,'2026-11-24T06:54:52.5332030+00:00','2026-11-24T06:54:52.5656760+00:00','2026-11-24T06:54:52.5881110+00:00','{}','{"ContentSnapshotId": "5f0c0b9e-0000-4000-8000-000000000001"}','{"Script": "train.py", "Target": "cpu-cluster"}','5f0c0b9e-0000-4000-8000-000000000001','null','[]','null','digits_1',NULL);
INSERT INTO "runs" VALUES(2,'digits_1_child','d2a15875-f26e-4200-a167-39cc51f704a3','673ee832-865e-435e-8c63-22e2f8e88c6f','digits_1','digits_1','NotStarted',NULL,NULL,'child',NULL,NULL,0,'2026-11-24T06:54:52.5893050+00:00',NULL,NULL,'{"a": "1"}','{"p": "q"}','{}',NULL,'null','[]','null','digits_1_child',NULL);
INSERT INTO "runs" VALUES(3,'noise_1','39061eb4-d319-404a-b3d2-ea7e3fdd439e','abb31bab-0f3d-4e5a-a534-486983c029c4',NULL,'noise_1','Failed',NULL,NULL,NULL,NULL,NULL,0,'2026-11-24T06:54:52.6119210+00:00',NULL,'2026-11-24T06:54:52.6136610+00:00','{}','{}','{}',NULL,'{"error": {"code": "UserError", "message": "It failed.", "details": []}, "time": "2026-11-24T06:54:52.6124580+00:00"}','[]','null','noise_1',NULL);
INSERT INTO "runs" VALUES(4,'noise_2','dbd39077-09df-4054-b493-2dd491821c75','abb31bab-0f3d-4e5a-a534-486983c029c4',NULL,'noise_2','NotStarted',NULL,NULL,NULL,NULL,NULL,0,'2026-11-24T06:54:52.6141680+00:00',NULL,NULL,'{}','{}','{}',NULL,'null','[]','null','noise_2',NULL);
CREATE TABLE saved_datasets (
	id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	dataflow VARCHAR NOT NULL, 
	properties JSON NOT NULL, 
	created VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "saved_datasets" VALUES('1fe98917-0b1e-5b36-9dcc-4da2d81d4fb4','file','{"blocks": []}','{"a": "b"}','2026-11-24T06:54:52.7178370+00:00');
INSERT INTO "saved_datasets" VALUES('b965c744-e515-58d1-abc7-be131d40f170','file','{"blocks": [1]}','{}','2026-11-24T06:54:52.7622480+00:00');
CREATE TABLE secrets (
	"key" VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	content_type VARCHAR, 
	created VARCHAR NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "secrets" VALUES('one','One','gAAAA-not-a-real-token',NULL,'2026-01-01T00:00:00.0000000+00:00');
CREATE TABLE snapshots (
	id VARCHAR NOT NULL, 
	parent_id VARCHAR, 
	created VARCHAR NOT NULL, 
	tree JSON NOT NULL, 
	files JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "snapshots" VALUES('5f0c0b9e-0000-4000-8000-000000000001',NULL,'2026-11-24T06:54:52.5175020+00:00','{"name": "", "type": "Directory", "children": {"train.py": {"name": "train.py", "type": "File", "hash": "ab"}}}','{"train.py": {"blob": "files/1", "hash": "ab"}}');
CREATE TABLE store (
	"key" VARCHAR NOT NULL, 
	value JSON NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "store" VALUES('schema_version',2);
INSERT INTO "store" VALUES('workspace_id','"9ef6ffc0-48ff-4132-acc3-6dc1ed98352e"');
INSERT INTO "store" VALUES('created','"2026-11-24T06:54:52.4472060+00:00"');
INSERT INTO "store" VALUES('names','[["00000000-0000-0000-0000-000000000000", "local", "azureml-local"]]');
INSERT INTO "store" VALUES('ports','[8843, 8844]');
CREATE INDEX ix_models_run_id ON models (run_id);
CREATE INDEX ix_runs_status ON runs (status);
CREATE INDEX ix_runs_experiment_id ON runs (experiment_id);
CREATE INDEX ix_runs_parent_id ON runs (parent_id);
CREATE INDEX ix_dataset_versions_saved_id ON dataset_versions (saved_id);
CREATE INDEX ix_run_events_run_id ON run_events (run_id);
CREATE INDEX ix_experiments_former_name ON experiments (former_name);
CREATE INDEX models_newest ON models (created, version, name);
CREATE INDEX runs_of_experiment ON runs (experiment_id, parent_id);
CREATE INDEX runs_of_target ON runs (target, status);
CREATE INDEX runs_of_root ON runs (root_id, experiment_id);
CREATE INDEX ix_runs_folded_id ON runs (folded_id);
CREATE INDEX metric_values_of ON metric_values (metric, created, id);
COMMIT;
